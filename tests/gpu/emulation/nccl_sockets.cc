/* Sockets between the processes of an emulated NCCL. See nccl_sockets.h. A rank listens under a
 * name that is no file, and connects to all before it. */
#include "nccl_sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace nccl_sockets
{

static socklen_t address_of(const char *name, int rank, struct sockaddr_un *out)
{
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    const int n = snprintf(out->sun_path + 1, sizeof out->sun_path - 1, "tdbg-nccl-%s-%d", name,
                           rank); /* behind a 0: no file */
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

[[noreturn]] static void fail(const char *what)
{
    fprintf(stderr, "emulated NCCL: %s: %s\n", what, strerror(errno));
    abort();
}

mesh::mesh(const char *name, int rank, int ranks) : peers((size_t)ranks), rank_(rank)
{
    struct sockaddr_un address;
    snprintf(name_, sizeof name_, "%s", name);
    listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const socklen_t bytes = address_of(name_, rank, &address);
    if (listen_fd < 0 || bind(listen_fd, (struct sockaddr *)&address, bytes) != 0 ||
        listen(listen_fd, ranks) != 0)
        fail("listening");
}

mesh::~mesh()
{
    close(listen_fd);
    for (const peer &p : peers) {
        if (p.fd >= 0)
            close(p.fd);
    }
}

/* Tells the other which rank this is. */
void mesh::connect_to(int to)
{
    struct sockaddr_un address;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const socklen_t bytes = address_of(name_, to, &address);
    const int32_t rank = rank_;
    if (fd < 0)
        fail("a socket");
    if (connect(fd, (struct sockaddr *)&address, bytes) != 0) {
        close(fd); /* it does not listen yet */
        return;
    }
    if (::send(fd, &rank, sizeof rank, MSG_NOSIGNAL) != (ssize_t)sizeof rank)
        fail("a greeting");
    peers[(size_t)to].fd = fd;
}

void mesh::accept_all()
{
    int32_t rank;
    for (int fd; (fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        if (recv(fd, &rank, sizeof rank, MSG_WAITALL) != (ssize_t)sizeof rank || rank <= rank_ ||
            rank >= (int)peers.size() || peers[(size_t)rank].fd >= 0)
            fail("a greeting of no rank");
        peers[(size_t)rank].fd = fd;
    }
}

bool mesh::join()
{
    bool joined = true;
    accept_all();
    for (int r = 0; r < (int)peers.size(); r++) {
        if (r < rank_ && peers[(size_t)r].fd < 0)
            connect_to(r);
        joined &= r == rank_ || peers[(size_t)r].fd >= 0;
    }
    return joined;
}

void mesh::send(int to, const header &what, const void *data)
{
    peer &p = peers[(size_t)to];
    const char *bytes = (const char *)data, *head = (const char *)&what;
    if (to == rank_) {
        p.received.push_back({what, std::vector<char>(bytes, bytes + what.bytes)});
        return;
    }
    p.out.insert(p.out.end(), head, head + sizeof what);
    p.out.insert(p.out.end(), bytes, bytes + what.bytes);
}

void mesh::read_from(peer &p)
{
    static char piece[1 << 16];
    ssize_t n;
    while ((n = recv(p.fd, piece, sizeof piece, MSG_DONTWAIT)) > 0)
        p.in.insert(p.in.end(), piece, piece + n);
    p.gone |= n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    for (header what; p.in.size() >= sizeof what;) {
        memcpy(&what, p.in.data(), sizeof what);
        if (p.in.size() < sizeof what + what.bytes)
            break;
        const auto begin = p.in.begin() + (ptrdiff_t)sizeof what;
        const auto end = begin + (ptrdiff_t)what.bytes;
        p.received.push_back({what, std::vector<char>(begin, end)});
        p.in.erase(p.in.begin(), end);
    }
}

void mesh::move()
{
    for (peer &p : peers) {
        if (p.fd < 0)
            continue;
        const ssize_t n =
            p.out.empty() ? 0
                          : ::send(p.fd, p.out.data(), p.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            p.out.erase(p.out.begin(), p.out.begin() + n);
        p.gone |= n < 0 && errno != EAGAIN && errno != EINTR;
        read_from(p);
    }
}

} // namespace nccl_sockets
