//! What processes used, as the kernel counts it. Linux alone has `/proc`.

use std::path::Path;

use anyhow::Context;

/// Microseconds in a tick of `/proc/PID/stat`: `USER_HZ` is 100 on every Linux.
const TICK_US: u64 = 10_000;

/// CPU time of a process and of its children that have ended, in microseconds.
pub(crate) fn cpu_us(pid: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} is gone, or this is no Linux"))?;
    // The name in parentheses may hold spaces; fields are counted from behind it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
    // utime, stime, cutime, cstime: fields 14 to 17 of proc(5), the first behind the name is 3.
    let all: Option<Vec<u64>> = (12..16).map(ticks).collect();
    Ok(all.context("/proc/PID/stat is odd")?.iter().sum::<u64>() * TICK_US)
}

/// The most memory that a process had at once, in KiB.
pub(crate) fn rss_max_kib(pid: u32) -> anyhow::Result<u64> {
    status_kib(pid, "VmHWM:")
}

/// The memory that a process has now, in KiB.
pub(crate) fn rss_kib(pid: u32) -> anyhow::Result<u64> {
    status_kib(pid, "VmRSS:")
}

fn status_kib(pid: u32, name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|text| text.parse().ok())
        .with_context(|| format!("no {name} in /proc/{pid}/status"))
}

/// CPU time of PostgreSQL: the process that listens and all that it has started.
pub(crate) fn postgres_cpu_us(postmaster: u32) -> anyhow::Result<u64> {
    let mut sum = cpu_us(postmaster)?;
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else {
            continue;
        };
        if parent(&path) == Some(postmaster) {
            // It may end meanwhile; then the postmaster counts it.
            sum += cpu_us(pid).unwrap_or(0);
        }
    }
    Ok(sum)
}

fn parent(process: &Path) -> Option<u32> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit(')').next()?.split(' ').nth(2)?.parse().ok()
}
