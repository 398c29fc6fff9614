//! One exchange with a receiver: a connection from the pool or a new one, the request, and the response up to
//! its bounds.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::connect::{Connector, NoConnection};
use super::connection::{Connection, Protocols};
use super::connection_pool::Pool;
use super::request::{Outgoing, Routed, SendError, request};
use super::target::PoolKey;
use super::timing::Stopwatch;
use crate::model::Fields;

/// How long a receiver has to take the rest of a request that it has answered already, if the connection is
/// to carry another one.
const REST_TAKEN: Duration = Duration::from_secs(1);

/// Makes exchanges.
pub(super) struct Exchange {
    pub(super) connector: Connector,
    pub(super) protocols: Protocols,
    pub(super) pool: Arc<Pool>,
    pub(super) response_bytes_max: usize,
}

/// A response as far as it has been received.
pub(super) struct Coming {
    pub(super) status: u16,
    pub(super) headers: Fields,
    pub(super) body: Vec<u8>,
    pub(super) truncated: bool,
}

/// A connection while it is used. A shared one whose exchange does not end as it should gets no other.
struct InUse<'a> {
    pool: &'a Arc<Pool>,
    key: &'a PoolKey,
    connection: Option<Connection>,
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection
            && connection.is_shared()
        {
            self.pool.retire(self.key, connection);
        }
    }
}

impl InUse<'_> {
    /// The exchange has ended: the connection waits for the next one.
    fn done(mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if connection.is_shared() {
            return;
        }
        if connection.is_ready() {
            self.pool.put(self.key, connection);
        } else if !connection.is_closed() {
            let (pool, key) = (self.pool.clone(), self.key.clone());
            tokio::spawn(async move {
                if tokio::time::timeout(REST_TAKEN, connection.ready()).await == Ok(true) {
                    pool.put(&key, connection);
                }
            });
        }
    }
}

impl Exchange {
    /// Sends a request, and reads the response into `coming`.
    pub(super) async fn run(
        &self,
        routed: &Routed,
        outgoing: &Outgoing,
        coming: &mut Option<Coming>,
    ) -> Result<(), SendError> {
        let Routed { uri, key, last } = routed;
        let mut unsent = request(outgoing)?;
        // Each turn takes a connection out of the pool, which has few for one host.
        let (answer, in_use) = loop {
            let taken = self.pool.take(key);
            let used_before = taken.is_some();
            let connection = match taken {
                Some(connection) => connection,
                None => self.new_connection(key).await?,
            };
            let mut in_use = InUse { pool: &self.pool, key, connection: Some(connection) };
            let Some(connection) = &mut in_use.connection else { continue };
            match connection.send(unsent, uri, &key.target, *last).await {
                Ok(answer) => break (answer, in_use),
                Err(mut error) => match error.take_message() {
                    // The receiver closed it while it was idle.
                    Some(again) if used_before => unsent = again,
                    _ => return Err(broken(connection, &error.into_error())),
                },
            }
        };
        let Some(connection) = &in_use.connection else { return Ok(()) };
        self.read(answer, connection, coming).await?;
        let whole = coming.as_ref().is_some_and(|coming| !coming.truncated);
        if whole && (!last || connection.is_shared()) {
            in_use.done();
        }
        Ok(())
    }

    /// Like `run`, but over a connection of its own.
    pub(super) async fn run_timed(
        &self,
        routed: &Routed,
        outgoing: &Outgoing,
        coming: &mut Option<Coming>,
        stopwatch: &Stopwatch,
    ) -> Result<(), SendError> {
        let Routed { uri, key, last } = routed;
        let request = request(outgoing)?;
        let mut connection = self.connect(key, Some(stopwatch)).await?;
        let answer = connection.send(request, uri, &key.target, *last).await;
        let answer = answer.map_err(|error| broken(&connection, &error.into_error()))?;
        stopwatch.head_arrived();
        self.read(answer, &connection, coming).await
    }

    /// A new connection, or a shared one that has been made meanwhile.
    async fn new_connection(&self, key: &PoolKey) -> Result<Connection, SendError> {
        let connection = self.connect(key, None).await?;
        match connection.share() {
            Some(shared) => Ok(self.pool.share(key, shared)),
            None => Ok(connection),
        }
    }

    async fn connect(
        &self,
        key: &PoolKey,
        stopwatch: Option<&Stopwatch>,
    ) -> Result<Connection, SendError> {
        let stream = self.connector.connect(key, stopwatch).await.map_err(|error| match error {
            NoConnection::Refused(error) => SendError::Refused(error.to_string()),
            NoConnection::Unresolved(error) => SendError::Unresolved(error.to_string()),
            NoConnection::Failed(error) => SendError::Connect(chain(&error)),
        })?;
        self.protocols.open(stream).await.map_err(|error| SendError::Broke(chain(&error)))
    }

    async fn read(
        &self,
        answer: Response<Incoming>,
        connection: &Connection,
        coming: &mut Option<Coming>,
    ) -> Result<(), SendError> {
        let coming = coming.insert(Coming {
            status: answer.status().as_u16(),
            headers: fields(answer.headers(), self.response_bytes_max),
            body: Vec::new(),
            truncated: false,
        });
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(connection, &error))?;
            let Some(data) = frame.data_ref() else { continue };
            let room = self.response_bytes_max - coming.body.len();
            coming.body.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                // The rest is not read; the connection is closed.
                coming.truncated = true;
                break;
            }
        }
        Ok(())
    }
}

/// Classifies why there is no answer, or not all of it.
fn broken(connection: &Connection, error: &hyper::Error) -> SendError {
    if connection.is_spent() {
        return SendError::AnswerTooLarge;
    }
    let text = chain(error);
    // Both protocols report it only in the text of the error.
    if ["message head is too large", "header list"].iter().any(|words| text.contains(words)) {
        return SendError::HeadTooLarge;
    }
    SendError::Broke(text)
}

/// The headers that fit into `bytes_max`; those of one name are joined into one field (RFC 9110 §5.3).
fn fields(headers: &http::HeaderMap, bytes_max: usize) -> Fields {
    let mut room = bytes_max;
    let fields = headers.keys().filter_map(|name| {
        let mut whole: Option<String> = None;
        for value in headers.get_all(name) {
            let Some(left) = room.checked_sub(name.as_str().len() + value.len()) else { continue };
            room = left;
            let value = String::from_utf8_lossy(value.as_bytes());
            whole = Some(match whole {
                Some(before) => before + ", " + &value,
                None => value.into_owned(),
            });
        }
        Some((name.as_str().to_owned(), whole?))
    });
    fields.collect()
}

/// An error with its causes; hyper's own message alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_name_are_one_field_as_far_as_they_fit() {
        let mut headers = http::HeaderMap::new();
        for (name, value) in [("x-b", "1"), ("x-a", "2"), ("x-b", "3"), ("x-long", "0123456789")] {
            let value = http::HeaderValue::from_static(value);
            headers.append(http::HeaderName::from_static(name), value);
        }
        let kept = fields(&headers, 20);
        assert_eq!((kept.get("x-b"), kept.get("x-a")), (Some("1, 3"), Some("2")));
        assert_eq!(kept.get("x-long"), None, "x-b twice and x-a take 12 of 20 bytes");
    }
}
