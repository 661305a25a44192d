//! The way of a verb to the running node of a home: its note, its pages, its token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::api::question::{AnswerPart, Question};
use crate::error::NodeError;
use crate::error::exit::ExitKind;
use crate::home::keys;
use crate::home::{NOTE, Note, NoteGuard, TOKEN};
use crate::http::admin::Denial;
use crate::status::Status;

/// How long the node may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take for an action, which may wait until the fate of two transfers is known.
const ACTION_PATIENCE: Duration = Duration::from_secs(240);

/// A node that runs and answers.
pub(super) struct LocalNode {
    home: PathBuf,
    /// Its process.
    pub(super) pid: u32,
    /// Base URL of its pages.
    admin: String,
    client: reqwest::Client,
    token: String,
    pub(super) status: Status,
}

/// Leaves the note by which a home's running node is found. It goes again when the returned guard is dropped.
///
/// # Errors
/// [`NodeError::Io`] when it cannot be written.
pub(super) fn leave(note: &Note, home: &Path) -> Result<NoteGuard, NodeError> {
    note.leave(home).map_err(|source| NodeError::Io { what: "write", path: home.join(NOTE), source })
}

/// Finds the running node of a home.
///
/// # Errors
/// [`NodeError::NotRunning`] says what is missing.
pub(super) async fn running(home: &Path) -> Result<LocalNode, NodeError> {
    let not_running = |why: String| NodeError::NotRunning { home: home.into(), why };
    let note = Note::read(home).map_err(|error| not_running(format!("its note cannot be read: {error}")))?;
    let note = note.ok_or_else(|| not_running("it left no note there".into()))?;
    let node = LocalNode::at(home, note.pid, note.admin).await?;
    // A node that was killed leaves its note; its port may be another one's by now.
    if node.status.node_id != note.node_id {
        return Err(not_running(format!("process {} is gone and another node has its port", note.pid)));
    }
    Ok(node)
}

impl LocalNode {
    /// Returns the node of `home` whose process is `pid` and whose pages are at `admin`.
    ///
    /// # Errors
    /// [`NodeError::NotRunning`] where it does not answer, [`NodeError::Keys`] where its token cannot be read.
    pub(super) async fn at(home: &Path, pid: u32, admin: String) -> Result<Self, NodeError> {
        let not_running = |why: String| NodeError::NotRunning { home: home.into(), why };
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
        let client = client.map_err(|error| not_running(error.to_string()))?;
        let token = keys::read_private(&home.join(TOKEN))?.to_string();
        let ask = async {
            let request = client.get(format!("{admin}/status")).bearer_auth(&token);
            request.send().await?.error_for_status()?.json::<Status>().await
        };
        let status = ask.await.map_err(|error: reqwest::Error| {
            not_running(if error.is_connect() {
                format!(
                    "process {pid} has ended without an orderly end (it was killed, or the power failed), and left its note; \
                     `bombyx up` starts it again, with its keys, channels and vouchers"
                )
            } else {
                format!("process {pid} left a note but does not answer: {}", error.without_url())
            })
        })?;
        Ok(Self { home: home.into(), pid, admin, client, token, status })
    }

    /// Returns a page.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, NodeError> {
        self.answer(self.client.get(format!("{}{path}", self.admin)).bearer_auth(&self.token)).await
    }

    /// Returns an action.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, NodeError> {
        let request = self.client.post(format!("{}{path}", self.admin)).timeout(ACTION_PATIENCE);
        self.answer(request.bearer_auth(&self.token).json(body)).await
    }

    /// Returns what comes back for a question, part by part. Dropping the receiver cancels the order.
    pub(super) async fn ask(&self, question: &Question) -> Result<mpsc::Receiver<AnswerPart>, NodeError> {
        let stopped = |_| NodeError::Stopped("admin page");
        // An answer takes as long as its order, which has a deadline of its own.
        let client = reqwest::Client::builder().no_proxy().build().map_err(stopped)?;
        let request = client.post(format!("{}/ask", self.admin)).bearer_auth(&self.token);
        let sent = request.json(question).send().await;
        let mut answer = sent.map_err(|error| NodeError::NotRunning {
            home: self.home.clone(),
            why: format!("it does not answer any more: {error}"),
        })?;
        if !answer.status().is_success() {
            let Denial { error, hint, code } = answer.json().await.map_err(stopped)?;
            return Err(NodeError::Denied { error, hint, code: ExitKind::of(code) });
        }
        let (parts, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut bytes = Vec::new();
            loop {
                let more = tokio::select! {
                    more = answer.chunk() => more,
                    // The connection ends with the answer, and the order with the connection.
                    () = parts.closed() => return,
                };
                let Ok(Some(more)) = more else { return };
                bytes.extend_from_slice(&more);
                while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = bytes.drain(..=end).collect();
                    let Ok(part) = serde_json::from_slice(&line) else { return };
                    if parts.send(part).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(receiver)
    }

    async fn answer<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, NodeError> {
        let stopped = |_| NodeError::Stopped("admin page");
        let answer = request.send().await.map_err(|error| unanswered(&self.home, self.pid, &error))?;
        if answer.status().is_success() {
            return answer.json().await.map_err(stopped);
        }
        let Denial { error, hint, code } = answer.json().await.map_err(stopped)?;
        Err(NodeError::Denied { error, hint, code: ExitKind::of(code) })
    }
}

/// Describes that a request to a node got no answer. One that nobody took had no effect, and can be made elsewhere.
fn unanswered(home: &Path, pid: u32, error: &reqwest::Error) -> NodeError {
    if error.is_connect() {
        let why =
            format!("process {pid} has ended in this moment, and nothing was asked of it: say it again");
        NodeError::NotRunning { home: home.into(), why }
    } else {
        NodeError::Stopped("admin page")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_note_of_a_node_that_was_killed_is_told_from_one_that_does_not_answer() {
        let home = tempfile::tempdir().unwrap();
        keys::replace_private(&home.path().join(TOKEN), "token").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let note = Note {
            pid: 2_103,
            node_id: "id".into(),
            addresses: Vec::new(),
            admin: format!("http://{}", listener.local_addr().unwrap()),
            gateway: None,
            models: Vec::new(),
        };
        let _note = note.leave(home.path()).unwrap();
        let why = async || running(home.path()).await.err().unwrap().to_string();
        // Somebody else has its port, and hangs up.
        let other = std::thread::spawn(move || drop(listener.accept().unwrap()));
        let told = why().await;
        assert!(told.contains("process 2103 left a note but does not answer"), "{told}");
        other.join().unwrap();
        let told = why().await;
        assert!(told.contains("process 2103 has ended without an orderly end"), "{told}");
        assert!(told.contains("`bombyx up` starts it again"), "{told}");
    }

    #[tokio::test]
    async fn a_request_that_nobody_took_is_told_from_one_that_was_taken_and_not_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let told = async || {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            unanswered(Path::new("home"), 7, &client.get(&url).send().await.unwrap_err())
        };
        let other = std::thread::spawn(move || drop(listener.accept().unwrap()));
        assert!(matches!(told().await, NodeError::Stopped(_)), "it may have done what was asked");
        other.join().unwrap();
        let gone = told().await;
        assert!(matches!(gone, NodeError::NotRunning { .. }), "{gone}");
        assert!(gone.to_string().contains("process 7 has ended in this moment"), "{gone}");
    }
}
