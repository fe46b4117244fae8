#!/usr/bin/env bash
# Start a Dask scheduler on this machine (head) and a worker on each of some others over ssh; end it with Ctrl-C.
# usage: bash ssh_cluster.sh node1 node2 node3
set -euo pipefail
trap 'kill 0' EXIT
cd /shared/encoding-explorer && . /shared/cluster.env
.venv/bin/python -m dask scheduler --protocol tls --port 8786 --no-dashboard &
for host in "$@"; do
  ssh -tt "$host" 'cd /shared/encoding-explorer && . /shared/cluster.env && .venv/bin/python -m dask worker tls://head:8786 \
    --nthreads 1 --resources fit=1 --preload encoding.jobs.worker' &
done
wait
