//! One client's connection: its calls one after the other, each under a deadline.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hitless_api::frame::{self, Splitter, TooLong};
use hitless_api::method::{self, Call, NotACall, Request as Asked};
use hitless_api::{
    AccessPoints, Adopted, Error, Joined, Method, MonitorReply, Networks, ServiceError, Stations, Status,
};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::admission::Slot;
use super::{Reply, Request};

/// How long a request may take from its first byte to its last.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may be connected without asking for anything.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a client may take to make room for a reply.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The ways to the daemon's loop and from it.
#[derive(Clone, Debug)]
pub(super) struct Hub {
    /// Calls, to the loop.
    pub(super) requests: mpsc::Sender<Request>,
    /// Notices from the loop, as they go over the wire.
    pub(super) notices: broadcast::Sender<Arc<[u8]>>,
}

/// Why a connection was closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    /// What came in is not Varlink.
    #[error(transparent)]
    NotACall(#[from] NotACall),
    /// More came in than a request can be.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// It took too long.
    #[error("the client did not {0} in time")]
    Timeout(&'static str),
    /// The kernel said so.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A call came in while notices were going out.
    #[error("a call while monitoring")]
    CallWhileMonitoring,
    /// A reply could not be put into JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    splitter: Splitter,
    slot: Slot,
    hub: Hub,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, slot: Slot, hub: Hub) -> Self {
        Self { stream, splitter: Splitter::new(frame::MAX_REQUEST), slot, hub }
    }

    /// Answers calls until the client goes or breaks a rule.
    pub(super) async fn serve(mut self) -> Result<(), Closed> {
        while let Some(message) = self.receive().await? {
            let call = Call::parse(&message)?;
            if matches!(call.request, Ok(Asked::Method(Method::Monitor {}))) && call.more && !call.oneway {
                return self.monitor().await;
            }
            let reply = self.answer(&call).await?;
            if !call.oneway {
                self.send(&reply).await?;
            }
        }
        Ok(())
    }

    /// The next request; `None`: the client has gone.
    async fn receive(&mut self) -> Result<Option<Vec<u8>>, Closed> {
        let mut deadline = Instant::now() + IDLE_TIMEOUT;
        let mut partial = false;
        loop {
            if let Some(message) = self.splitter.next_message()? {
                return Ok(Some(message));
            }
            if self.splitter.is_partial() && !partial {
                partial = true;
                deadline = Instant::now() + REQUEST_TIMEOUT;
            }
            let mut bytes = [0; 1024];
            let what = if partial { "finish its request" } else { "ask for anything" };
            let read = timeout_at(deadline, self.stream.read(&mut bytes));
            let length = read.await.map_err(|_| Closed::Timeout(what))??;
            if length == 0 {
                return Ok(None);
            }
            self.splitter.push(bytes.get(..length).unwrap_or_default());
        }
    }

    /// The reply to a call, as it goes over the wire.
    async fn answer(&self, call: &Call) -> Result<Vec<u8>, Closed> {
        let encoded = match &call.request {
            Err(error) => frame::encode(error),
            Ok(Asked::GetInfo) => encode_reply(&method::info(), false),
            Ok(Asked::GetInterfaceDescription { interface }) => match method::description(interface) {
                Ok(description) => encode_reply(&description, false),
                Err(error) => frame::encode(&error),
            },
            Ok(Asked::Method(Method::Monitor {})) => frame::encode(&ServiceError::ExpectedMore {}),
            Ok(Asked::Method(method)) => match self.ask(method.clone()).await {
                Ok(reply) => encode_answer(reply),
                Err(error) => frame::encode(&error),
            },
        };
        Ok(encoded?)
    }

    /// Asks the daemon's loop, if the client may.
    async fn ask(&self, method: Method) -> Result<Reply, Error> {
        if !method.is_read_only() && !self.slot.may_change() {
            return Err(Error::PermissionDenied { method: method.name().to_owned() });
        }
        let ending = || Error::Failed { reason: "the daemon is ending".to_owned() };
        let (reply, answer) = oneshot::channel();
        self.hub.requests.send(Request { method, reply }).await.map_err(|_| ending())?;
        answer.await.map_err(|_| ending())?
    }

    /// Streams what happens until the client goes or does not keep up.
    async fn monitor(mut self) -> Result<(), Closed> {
        // First the subscription, then the status: so nothing that happens in between is missed.
        let mut notices = self.hub.notices.subscribe();
        let first = match self.ask(Method::Status {}).await {
            Ok(Reply::Bonds(bonds)) => MonitorReply { bonds: Some(bonds), notice: None },
            Ok(
                Reply::Stations(_)
                | Reply::Networks(_)
                | Reply::AccessPoints(_)
                | Reply::Joined(_)
                | Reply::Adopted(_)
                | Reply::Confirmed(_)
                | Reply::Verdict(_)
                | Reply::Done,
            ) => MonitorReply::default(),
            Err(error) => return self.send(&frame::encode(&error)?).await,
        };
        self.send(&encode_reply(&first, true)?).await?;
        loop {
            let mut byte = [0];
            tokio::select! {
                notice = notices.recv() => match notice {
                    Ok(bytes) => self.send(&bytes).await?,
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        let reason = format!("the client did not keep up and missed {missed} notices");
                        return self.send(&frame::encode(&Error::Failed { reason })?).await;
                    }
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                read = self.stream.read(&mut byte) => {
                    return if read? == 0 { Ok(()) } else { Err(Closed::CallWhileMonitoring) };
                }
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        let write = timeout(WRITE_TIMEOUT, self.stream.write_all(bytes));
        Ok(write.await.map_err(|_| Closed::Timeout("read its replies"))??)
    }
}

/// The daemon's answer as it goes over the wire.
fn encode_answer(reply: Reply) -> Result<Vec<u8>, serde_json::Error> {
    match reply {
        Reply::Bonds(bonds) => encode_reply(&Status { bonds }, false),
        Reply::Stations(stations) => encode_reply(&Stations { stations }, false),
        Reply::Networks(networks) => encode_reply(&Networks { networks }, false),
        Reply::AccessPoints(access_points) => encode_reply(&AccessPoints { access_points }, false),
        Reply::Joined(station) => encode_reply(&Joined { station: *station }, false),
        Reply::Adopted(adoption) => encode_reply(&Adopted { adoption: *adoption }, false),
        Reply::Confirmed(confirmed) => encode_reply(&confirmed, false),
        Reply::Verdict(verdict) => encode_reply(&verdict, false),
        Reply::Done => encode_reply(&serde_json::json!({}), false),
    }
}

/// A reply as it goes over the wire.
pub(super) fn encode_reply(
    parameters: &impl Serialize,
    continues: bool,
) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        parameters: &'a T,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        continues: bool,
    }

    frame::encode(&Envelope { parameters, continues })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::admission::Admission;
    use super::*;

    /// A connection, the client's end of it, and the queue that the daemon's loop would read.
    fn connection() -> (Connection, UnixStream, mpsc::Receiver<Request>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (requests, receiver) = mpsc::channel(1);
        let hub = Hub { requests, notices: broadcast::channel(4).0 };
        (Connection::new(ours, Admission::new(0).admit(0).unwrap(), hub), theirs, receiver)
    }

    // Time is paused: where nothing else can happen, it jumps to the next deadline.

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_never_finished_is_given_up() {
        let (connection, mut client, _requests) = connection();
        let start = Instant::now();
        let drip = async {
            // A byte now and then does not prolong the deadline.
            for byte in b"{\"method\":" {
                let _ = client.write_all(&[*byte]).await;
                tokio::time::sleep(REQUEST_TIMEOUT / 4).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            closed = connection.serve() => assert!(matches!(closed, Err(Closed::Timeout("finish its request")))),
            () = drip => {}
        }
        assert_eq!(start.elapsed().as_secs(), REQUEST_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_for_nothing_is_given_up() {
        let (connection, _client, _requests) = connection();
        assert!(matches!(connection.serve().await, Err(Closed::Timeout("ask for anything"))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_given_up() {
        let (mut connection, _client, _requests) = connection();
        let large = vec![b'x'; 8 << 20];
        assert!(matches!(connection.send(&large).await, Err(Closed::Timeout("read its replies"))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_monitor_may_stay_silent_and_may_not_call() {
        let (connection, mut client, mut requests) = connection();
        client.write_all(b"{\"method\":\"io.hitless.Monitor\",\"more\":true}\0").await.unwrap();
        let use_it = async {
            requests.recv().await.unwrap().reply.send(Ok(Reply::Bonds(Vec::new()))).unwrap();
            tokio::time::sleep(IDLE_TIMEOUT * 10).await;
            client.write_all(b"x").await.unwrap();
        };
        let (closed, ()) = tokio::join!(connection.serve(), use_it);
        assert!(matches!(closed, Err(Closed::CallWhileMonitoring)));
    }

    #[tokio::test]
    async fn a_daemon_that_drops_the_call_is_ending() {
        let (connection, mut client, mut requests) = connection();
        client.write_all(b"{\"method\":\"io.hitless.Reload\"}\0").await.unwrap();
        let serve = tokio::spawn(connection.serve());
        drop(requests.recv().await);
        let mut reply = [0; 200];
        let length = client.read(&mut reply).await.unwrap();
        assert!(String::from_utf8_lossy(reply.get(..length).unwrap()).contains("io.hitless.Failed"));
        drop(client);
        assert!(serve.await.unwrap().is_ok());
    }
}
