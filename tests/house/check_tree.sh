#!/bin/sh
# No file of the source names a path of somebody's machine, and none is larger than 1 MiB.
cd "$1" || exit 1
bad=0
all='base kernels engine trace recorder replay check tui cli include python examples docs bench tools tests'
folders=
for folder in $all; do
  [ -d "$folder" ] && folders="$folders $folder"
done
if grep -rnE '(^|[^[:alnum:]_])/(work|root|home/[a-z]+|farm)/' --exclude=check_tree.sh \
  $folders README.md bootstrap meson.build .ci/run; then
  echo 'a path of one machine (above)'
  bad=1
fi
large=$(find $folders -type f -size +1024k)
if [ -n "$large" ]; then
  echo "larger than 1 MiB: $large"
  bad=1
fi
exit $bad
