# Sourced by .ci/run: a Docker daemon for the tests of that backend, where root can start one.
# Whatever fails here fails quietly and says why: those tests then skip with their reason.

docker_home=""

start_docker() {
    if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        echo "docker: a daemon runs"
        return
    fi
    [ "$(id -u)" = 0 ] || { echo "docker: no daemon runs, and only root can start one"; return; }
    if ! command -v dockerd >/dev/null || [ ! -x /usr/bin/python3 ]; then
        DEBIAN_FRONTEND=noninteractive timeout 60 apt-get install -y -qq --no-install-recommends \
            docker.io python3-minimal libpython3-stdlib >/dev/null 2>&1 || { echo "docker: cannot be installed"; return; }
    fi
    docker_home=$(mktemp -d)
    # Containers of the tests have no network, so the daemon needs no bridge and no firewall.
    dockerd --data-root "$docker_home/data" --exec-root "$docker_home/exec" --bridge none \
        --iptables=false --ip6tables=false --pidfile "$docker_home/pid" \
        -H "unix://$docker_home/socket" >"$docker_home/log" 2>&1 &
    export DOCKER_HOST="unix://$docker_home/socket"
    local tries
    for tries in $(seq 60); do
        docker info >/dev/null 2>&1 && break
        if [ "$tries" = 60 ] || ! kill -0 "$!" 2>/dev/null; then
            echo "docker: the daemon does not start: $(grep -v level=info "$docker_home/log" | tail -1)"
            stop_docker
            return
        fi
        sleep 0.25
    done
    # The image, from this machine's own packages: registries are not asked.
    if timeout 60 bash .ci/rootfs.sh 2>"$docker_home/image" |
        timeout 60 docker import - "$(sed -n 's/^IMAGE = "\(.*\)"/\1/p' tools/sandbox/docker.py)" >>"$docker_home/image" 2>&1; then
        echo "docker: a daemon was started, with an image of this machine's packages"
    else
        echo "docker: no image could be made: $(tail -1 "$docker_home/image")"
        stop_docker
    fi
}

stop_docker() {
    [ -n "$docker_home" ] || return 0
    if [ -s "$docker_home/pid" ]; then
        local pid tries
        pid=$(cat "$docker_home/pid")
        kill "$pid" 2>/dev/null || true
        for tries in $(seq 80); do
            kill -0 "$pid" 2>/dev/null || break
            [ "$tries" != 80 ] || kill -9 "$pid" 2>/dev/null || true
            sleep 0.25
        done
    fi
    unset DOCKER_HOST
    rm -rf "$docker_home" 2>/dev/null || true
    docker_home=""
}
