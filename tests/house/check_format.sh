#!/bin/sh
# The code is as .clang-format says. Skipped (77) where clang-format is missing.
command -v clang-format >/dev/null || exit 77
cd "$1" || exit 1
folders=
for folder in base kernels engine trace recorder replay check tui cli include examples tests bench; do
  [ -d "$folder" ] && folders="$folders $folder"
done
find $folders \( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' -o -name '*.cc' \) \
  -print0 | xargs -0 clang-format --dry-run -Werror
