//! A request body while it arrives. A short one stays in memory; a long one goes to an unlinked file in the
//! data folder, so that slow uploads hold disk and not memory, and is read when it is complete.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::Edge;
use super::auth::Account;
use super::error::Problem;
use super::holder::{Charge, Holder};

/// Bodies up to this size are covered by the limits of connections, and count for the server only.
const SMALL_BYTES_MAX: usize = 16 << 10;
/// Bytes that are reserved ahead while there is little room.
const STEP_BYTES: usize = 4 << 10;
/// Bytes that are gathered for one write to a file.
const WRITE_BYTES: usize = 64 << 10;
/// What a body that goes to a file holds of memory: the bytes for one write, and one more read from the
/// connection.
const GATHERED_BYTES_MAX: usize = 256 << 10;

/// Bytes and their place in the budget, which is given back when the last of them is dropped.
struct Held {
    bytes: Vec<u8>,
    charge: Charge,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body of which a part has arrived.
pub(crate) struct Received {
    edge: Arc<Edge>,
    account: Account,
    /// Of the account; a short body does without.
    owners: OnceCell<Arc<[Holder]>>,
    /// The whole body's, where the caller said so.
    length: Option<usize>,
    arrived: usize,
    place: Place,
}

enum Place {
    Nowhere,
    /// As it came from the connection.
    Chunk(Bytes, Charge),
    Memory(Held),
    File(Spool),
}

impl Received {
    pub(crate) fn new(edge: Arc<Edge>, account: Account, length: Option<usize>) -> Received {
        let owners = OnceCell::new();
        Received { edge, account, owners, length, arrived: 0, place: Place::Nowhere }
    }

    fn owners(&self) -> &Arc<[Holder]> {
        self.owners.get_or_init(|| self.account.owners())
    }

    pub(crate) fn arrived(&self) -> usize {
        self.arrived
    }

    pub(crate) async fn push(&mut self, chunk: Bytes) -> Result<(), Problem> {
        self.arrived += chunk.len();
        let in_memory = self.edge.config.intake.body_memory_bytes_max;
        let is_long = self.length.unwrap_or_default().max(self.arrived) > in_memory;
        self.place = match std::mem::replace(&mut self.place, Place::Nowhere) {
            Place::Nowhere if chunk.len() <= SMALL_BYTES_MAX && !is_long => {
                let charge = Charge::of_server(&self.edge.memory, chunk.len())?;
                Place::Chunk(chunk, charge)
            }
            Place::Nowhere if is_long => self.to_file(&[], &chunk).await?,
            Place::Nowhere => self.to_memory(&[], &chunk)?,
            Place::Chunk(first, _) if is_long => self.to_file(&first, &chunk).await?,
            Place::Chunk(first, _) => self.to_memory(&first, &chunk)?,
            Place::Memory(held) if is_long => self.to_file(&held.bytes, &chunk).await?,
            Place::Memory(held) => Place::Memory(self.extended(held, &chunk)?),
            Place::File(mut spool) => {
                spool.push(&chunk).await?;
                Place::File(spool)
            }
        };
        Ok(())
    }

    fn to_memory(&self, first: &[u8], second: &[u8]) -> Result<Place, Problem> {
        let charge = Charge::take(&self.edge.memory, self.owners(), 0)?;
        let held = self.extended(Held { bytes: Vec::new(), charge }, first)?;
        Ok(Place::Memory(self.extended(held, second)?))
    }

    /// Appends to bytes in memory. What is reserved ahead is at most three times of what has arrived, and
    /// never more than the body will need; where there is no room for that, it is little.
    fn extended(&self, mut held: Held, chunk: &[u8]) -> Result<Held, Problem> {
        let needed = held.bytes.len() + chunk.len();
        if needed > held.bytes.capacity() {
            let most = self.length.unwrap_or(self.edge.config.intake.body_memory_bytes_max);
            let capacity = |wanted: usize| needed.max(most.min(wanted));
            let mut reserved = capacity(needed.saturating_mul(4));
            if held.charge.raise(reserved).is_err() {
                reserved = capacity(needed + STEP_BYTES);
                held.charge.raise(reserved)?;
            }
            held.bytes.reserve_exact(reserved - held.bytes.len());
        }
        held.bytes.extend_from_slice(chunk);
        Ok(held)
    }

    async fn to_file(&self, first: &[u8], second: &[u8]) -> Result<Place, Problem> {
        let memory = Charge::take(&self.edge.memory, self.owners(), GATHERED_BYTES_MAX)?;
        let disk = Charge::take(&self.edge.files, self.owners(), 0)?;
        let folder = self.edge.config.server.data_dir.clone();
        let file = blocking(move || tempfile::tempfile_in(folder)).await?;
        let gathered = Vec::with_capacity(GATHERED_BYTES_MAX);
        let mut spool = Spool { file: Some(file), gathered, written: 0, disk, memory };
        for bytes in first.chunks(WRITE_BYTES).chain(second.chunks(WRITE_BYTES)) {
            spool.push(bytes).await?;
        }
        Ok(Place::File(spool))
    }

    /// The whole body, and its place in the budget.
    pub(crate) async fn finish(self) -> Result<(Bytes, Option<Charge>), Problem> {
        let owners = self.owners.get().cloned().unwrap_or_default();
        match self.place {
            Place::Nowhere => Ok((Bytes::new(), None)),
            Place::Chunk(chunk, charge) => Ok((chunk, Some(charge))),
            Place::Memory(held) => Ok((Bytes::from_owner(held), None)),
            Place::File(mut spool) => {
                spool.write().await?;
                let Spool { file, gathered, written, disk, memory } = spool;
                drop((gathered, memory));
                let patience = Duration::from_millis(self.edge.config.intake.body_file_wait_ms);
                let deadline = Instant::now() + patience;
                let charge = Charge::wait(&self.edge.memory, &owners, written, deadline).await?;
                let bytes = blocking(move || read(file, written)).await?;
                drop(disk);
                Ok((Bytes::from_owner(Held { bytes, charge }), None))
            }
        }
    }
}

/// A body that goes to a file.
struct Spool {
    /// Absent while it is written to.
    file: Option<File>,
    gathered: Vec<u8>,
    written: usize,
    disk: Charge,
    /// For `gathered`.
    memory: Charge,
}

impl Spool {
    async fn push(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() < WRITE_BYTES { Ok(()) } else { self.write().await }
    }

    async fn write(&mut self) -> Result<(), Problem> {
        self.disk.raise(self.written + self.gathered.len())?;
        let (file, mut gathered) = (self.file.take(), std::mem::take(&mut self.gathered));
        self.written += gathered.len();
        let write = move || {
            let mut file = file.ok_or(io::ErrorKind::NotFound)?;
            file.write_all(&gathered)?;
            gathered.clear();
            Ok((file, gathered))
        };
        let (file, gathered) = blocking(write).await?;
        self.file = Some(file);
        self.gathered = gathered;
        Ok(())
    }
}

fn read(file: Option<File>, length: usize) -> io::Result<Vec<u8>> {
    let mut file = file.ok_or(io::ErrorKind::NotFound)?;
    file.rewind()?;
    let mut bytes = Vec::with_capacity(length);
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    let done = spawn_blocking(work).await.map_err(Problem::internal)?;
    done.map_err(|error| {
        Problem::internal(format!("a large body can't be kept in a file: {error}"))
    })
}
