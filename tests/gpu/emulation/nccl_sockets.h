/* How the processes of an emulated NCCL reach each other: a socket between each two of them. */
#ifndef TDBG_TESTS_GPU_EMULATION_NCCL_SOCKETS_H
#define TDBG_TESTS_GPU_EMULATION_NCCL_SOCKETS_H

#include <stddef.h>
#include <stdint.h>

#include <deque>
#include <vector>

namespace nccl_sockets
{

struct header {
    uint32_t kind, type;
    uint64_t count, bytes;
};

struct message {
    header what;
    std::vector<char> data;
};

struct peer {
    int fd = -1;
    bool gone = false;
    std::vector<char> out, in;    /* not sent yet; of a message that is not complete */
    std::deque<message> received; /* and not taken yet */
};

class mesh
{
  public:
    /* A rank of several that agree on `name`. */
    mesh(const char *name, int rank, int ranks);
    ~mesh();
    mesh(const mesh &) = delete;

    /* Gets on with joining the others; true: all are joined. */
    bool join();
    void send(int to, const header &what, const void *data);
    /* Gets on with sending and receiving. */
    void move();

    std::vector<peer> peers; /* by rank; this one is among them */

  private:
    int listen_fd;
    int rank_;
    char name_[64];
    void connect_to(int to);
    void accept_all();
    void read_from(peer &p);
};

} // namespace nccl_sockets
#endif
