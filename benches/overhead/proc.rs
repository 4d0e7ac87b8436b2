//! Child processes and what the kernel says of them. Linux only: it reads `/proc`.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::fail::{Context, Fail, Outcome};

/// How long a process may take until it accepts connections, and how often this is tried.
const START_LIMIT: Duration = Duration::from_secs(10);
const START_STEP: Duration = Duration::from_micros(250);

/// `USER_HZ`, the unit of `/proc/<pid>/stat`: 100 on every Linux that Rust's standard library supports.
const TICK: Duration = Duration::from_millis(10);

/// A folder that goes when its owner goes.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Outcome<Self> {
        let path = std::env::temp_dir().join(format!("overhead-{}", std::process::id()));
        fs::create_dir_all(&path).context(format!("cannot create {}", path.display()))?;
        Ok(Self(path))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An address nobody listens on at this moment.
pub fn free_address() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot find a free port")?;
    listener.local_addr().context("cannot find a free port")
}

/// How many processes wanted to run, over the last minute.
pub fn load_average() -> Outcome<String> {
    let text = fs::read_to_string("/proc/loadavg").context("/proc/loadavg")?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}

/// A process that listens; killed when dropped.
pub struct Process {
    pub child: Child,
    name: &'static str,
    log: PathBuf,
    pub address: SocketAddr,
    /// From the start of the process to the first connection it accepted.
    pub start_up: Duration,
}

impl Process {
    /// Starts it and waits until it accepts connections. What it prints goes to `log`.
    pub async fn start(
        name: &'static str,
        mut command: Command,
        address: SocketAddr,
        log: PathBuf,
    ) -> Outcome<Self> {
        let out = File::create(&log).context(format!("cannot create {}", log.display()))?;
        let err = out.try_clone().context("cannot share the log file")?;
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .context(format!("cannot start {name}, {}", Path::new(command.get_program()).display()))?;
        let mut process = Self { child, name, log, address, start_up: Duration::ZERO };
        process.wait_until_listening(started).await?;
        process.start_up = started.elapsed();
        Ok(process)
    }

    async fn wait_until_listening(&mut self, started: Instant) -> Outcome<()> {
        while TcpStream::connect(self.address).await.is_err() {
            self.assert_running()?;
            if started.elapsed() > START_LIMIT {
                return Err(self.fail("does not listen after 10 s"));
            }
            tokio::time::sleep(START_STEP).await;
        }
        Ok(())
    }

    pub fn assert_running(&mut self) -> Outcome<()> {
        match self.child.try_wait().context("cannot wait for a child")? {
            Some(status) => Err(self.fail(&format!("ended by itself, {status}"))),
            None => Ok(()),
        }
    }

    fn fail(&self, what: &str) -> Fail {
        Fail::new(format!("{} {what}{}", self.name, self.last_words()))
    }

    /// The end of what it printed, for a message.
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]);
        match text.trim() {
            "" => format!("; {} printed nothing", self.name),
            text => format!("; {} printed at last:\n{text}", self.name),
        }
    }

    /// CPU time used so far by all its threads.
    ///
    /// `schedstat` counts ns, but only of threads that still live; `stat` counts all, in ticks. Their difference
    /// between two moments is compared in [`Cpu::since`].
    pub fn cpu(&self) -> Outcome<Cpu> {
        Ok(Cpu { living: self.living_threads()?, all: self.all_threads()? })
    }

    fn living_threads(&self) -> Outcome<Duration> {
        let tasks = self.proc("task");
        let mut sum = 0;
        for task in fs::read_dir(&tasks).context(tasks.display())? {
            let path = task.context(tasks.display())?.path().join("schedstat");
            // A thread may end between the two reads.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            sum += number(text.split_whitespace().next(), &path)?;
        }
        Ok(Duration::from_nanos(sum))
    }

    fn all_threads(&self) -> Outcome<Duration> {
        let path = self.proc("stat");
        let text = fs::read_to_string(&path).context(path.display())?;
        // The name, field 2, is in parentheses and may hold blanks. utime and stime are fields 14 and 15.
        let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = fields.split_whitespace().skip(11);
        let ticks = number(fields.next(), &path)? + number(fields.next(), &path)?;
        Ok(TICK * u32::try_from(ticks).context("CPU time")?)
    }

    /// Resident memory in KB.
    pub fn rss_kb(&self) -> Outcome<u64> {
        let path = self.proc("status");
        let text = fs::read_to_string(&path).context(path.display())?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        number(line.and_then(|line| line.split_whitespace().next()), &path)
    }

    fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn number(word: Option<&str>, path: &Path) -> Outcome<u64> {
    word.unwrap_or("").parse().context(format!("cannot read {}", path.display()))
}

/// CPU time at one moment.
pub struct Cpu {
    living: Duration,
    all: Duration,
}

impl Cpu {
    /// The time used since `earlier`: the fine count, unless threads ended and took theirs with them.
    pub fn since(&self, earlier: &Self) -> Duration {
        let fine = self.living.saturating_sub(earlier.living);
        let coarse = self.all.saturating_sub(earlier.all);
        if coarse > fine + 3 * TICK { coarse } else { fine }
    }
}
