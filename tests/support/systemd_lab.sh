# Turns the namespaces that it is started in into a machine of its own, and becomes systemd there.
# tests/support/systemd_lab.py starts it, with the variables it uses: CGROUP, SCRATCH, CONSOLE, BINDS.
set -euo pipefail

# This process alone: a parent that is outside of the namespace could not be moved on by systemd.
if [[ -z ${IN_CGROUP-} ]]; then
    echo 0 >"$CGROUP/cgroup.procs"
    IN_CGROUP=1 exec unshare --cgroup bash "${BASH_SOURCE[0]}"
fi

# Nothing below is seen outside.
mount --make-rprivate /
mount -t tmpfs -o mode=0755 lab "$SCRATCH/root"
cd "$SCRATCH/root"
mkdir changed work new
# The machine as it is. What is written goes away with the tmpfs.
mount -t overlay -o lowerdir=/,upperdir="$PWD/changed",workdir="$PWD/work" overlay new
cd new

mount -t proc -o nosuid,nodev,noexec proc proc
# The kernel's settings belong to everybody.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup

mount -t tmpfs -o mode=0755,nosuid dev dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev shm dev/shm
for node in null zero full random urandom tty; do
    touch "dev/$node"
    mount --bind "/dev/$node" "dev/$node"
done
touch dev/console
mount --bind "$CONSOLE" dev/console
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr

mount -t tmpfs -o mode=0755,nosuid,nodev run run
mkdir -p run/lab
mount --bind "$SCRATCH/shared" run/lab
# None of this machine's services, nor its logs.
for folder in etc/systemd/system usr/local/lib/systemd var/log; do
    mkdir -p "$folder"
    mount -t tmpfs -o mode=0755 empty "$folder"
done

# What the tests bring along: a line for each, from where and to where.
while IFS=$'\t' read -r from to; do
    mkdir -p ".$to"
    mount --bind "$from" ".$to"
    mount -o remount,bind,ro ".$to"
done <<<"$BINDS"

mkdir -p tmp/before
pivot_root . tmp/before
cd /
umount --lazy /tmp/before
rmdir /tmp/before

# Without the capabilities that reach out of namespaces: the clock, the modules, the log of the kernel.
exec env --ignore-environment container=lab LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NOTIFY_SOCKET=/run/lab/notify \
    SYSTEMD_PROC_CMDLINE="systemd.unified_cgroup_hierarchy=1 systemd.show_status=0 systemd.hostname=lab" \
    SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system:/usr/local/lib/systemd/system:/run/lab/units \
    SYSTEMD_GENERATOR_PATH=/nowhere SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/nowhere \
    setpriv --inh-caps=-all --bounding-set=-sys_time,-sys_module,-sys_rawio,-syslog,-wake_alarm,-mac_admin,-mac_override \
    /lib/systemd/systemd --system --unit=lab.target
