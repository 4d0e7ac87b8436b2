//! Logs: lines go through a bounded queue to one writer thread.
//!
//! Logging must never stop serving: a full disk, a deleted folder or a closed pipe loses lines, which
//! are counted, and nothing else. The queue also keeps the cost of a write off the requests.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use file_rotate::compression::Compression;
use file_rotate::suffix::{AppendTimestamp, FileLimit, SuffixScheme};
use file_rotate::{ContentLimit, FileRotate};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{Log, LogFormat};
use crate::error::BoxError;
use crate::layer::metrics::names;

/// Lines that may wait to be written.
const QUEUE: usize = 8192;

/// How long the end waits for what is queued: a pipe that nobody reads must not keep the program from ending.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Writes out what is queued when it is dropped.
pub(super) struct Guard {
    sender: SyncSender<Vec<u8>>,
    /// Nothing comes of it; it is closed when the writer has ended.
    ended: Receiver<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        const STEPS: u32 = 200;
        // An empty line says that it is over; the subscriber keeps a sender for ever.
        let is_told = (0..STEPS).any(|_| match self.sender.try_send(Vec::new()) {
            Err(TrySendError::Full(_)) => {
                std::thread::sleep(LAST_LINES / STEPS);
                false
            }
            Ok(()) | Err(TrySendError::Disconnected(_)) => true,
        });
        if is_told {
            let _ = self.ended.recv_timeout(LAST_LINES);
        }
    }
}

/// Installs the subscriber that the configuration asks for.
pub(super) fn start(settings: &Log) -> Result<Guard, BoxError> {
    let filter = EnvFilter::try_new(&settings.level).map_err(|error| format!("log.level: {error}"))?;
    let sink: Box<dyn Write + Send> = match &settings.file {
        None => Box::new(io::stderr()),
        Some(_) => Box::new(rotating(settings)?),
    };
    let (sender, receiver) = sync_channel(QUEUE);
    let (alive, ended) = sync_channel(0);
    std::thread::Builder::new().name("log".to_owned()).spawn(move || {
        drain(&receiver, sink);
        drop(alive);
    })?;
    let queue = Queue { sender: sender.clone() };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(queue).with_ansi(false);
    match settings.format {
        LogFormat::Text => subscriber.try_init()?,
        LogFormat::Json => subscriber.json().flatten_event(true).try_init()?,
    }
    Ok(Guard { sender, ended })
}

/// What a log tells is for its owner only.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Old files go when they are too many, and when they are too old.
struct Both {
    by_age: AppendTimestamp,
    most: usize,
}

impl SuffixScheme for Both {
    type Repr = <AppendTimestamp as SuffixScheme>::Repr;

    fn rotate_file(
        &mut self,
        base: &Path,
        newest: Option<&Self::Repr>,
        suffix: &Option<Self::Repr>,
    ) -> io::Result<Self::Repr> {
        self.by_age.rotate_file(base, newest, suffix)
    }

    fn parse(&self, suffix: &str) -> Option<Self::Repr> {
        self.by_age.parse(suffix)
    }

    fn too_old(&self, suffix: &Self::Repr, number: usize) -> bool {
        number >= self.most || self.by_age.too_old(suffix, number)
    }
}

fn rotating(settings: &Log) -> Result<FileRotate<Both>, BoxError> {
    let Some(path) = &settings.file else { return Err("log.file is not set".into()) };
    // Try it now: a log that cannot be written is a mistake to be told at the start.
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| format!("log.file: {error}"))?;
    }
    options().open(path).map_err(|error| format!("log.file: {}: {error}", path.display()))?;
    let age = chrono::Duration::from_std(settings.max_age)?;
    let scheme = Both { by_age: AppendTimestamp::default(FileLimit::Age(age)), most: settings.max_backups };
    let compression = if settings.compress { Compression::OnRotate(0) } else { Compression::None };
    let size = usize::try_from(settings.max_size).unwrap_or(usize::MAX);
    Ok(FileRotate::new(path, scheme, ContentLimit::BytesSurpassed(size), compression, Some(options())))
}

fn drain(receiver: &Receiver<Vec<u8>>, mut sink: Box<dyn Write + Send>) {
    let mut batch = Vec::with_capacity(64 << 10);
    loop {
        let first = match receiver.recv_timeout(Duration::from_secs(3600)) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let mut over = first.is_empty();
        let mut lines = 1u64;
        batch.clear();
        batch.extend_from_slice(&first);
        while batch.len() < 60 << 10 && !over {
            let Ok(line) = receiver.try_recv() else { break };
            over = line.is_empty();
            lines += 1;
            batch.extend_from_slice(&line);
        }
        if sink.write_all(&batch).and_then(|()| sink.flush()).is_err() {
            metrics::counter!(names::LOG_DROPPED).increment(lines);
        }
        if over {
            return;
        }
    }
}

/// Hands lines to the writer thread; loses and counts them when it cannot keep up.
#[derive(Clone)]
struct Queue {
    sender: SyncSender<Vec<u8>>,
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Queue;

    fn make_writer(&'a self) -> Queue {
        self.clone()
    }
}

impl Write for Queue {
    /// The formatter writes each line in one piece.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !line.is_empty()
            && let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
                self.sender.try_send(line.to_vec())
        {
            metrics::counter!(names::LOG_DROPPED).increment(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
