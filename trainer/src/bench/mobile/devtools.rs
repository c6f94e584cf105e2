//! Chromium's developer tools over two pipes: messages in JSON, each ended by a zero byte.
//!
//! <https://chromedevtools.github.io/devtools-protocol/>; pipes and no port: nobody else on the machine can drive the browser, and
//! a browser whose pipes close ends by itself, also when this program is killed.

use super::patience::{LOOK, Patience};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

/// Longest message that is read, in bytes.
const MAX_MESSAGE_BYTES: u64 = 16 << 20;
/// Events that are kept until somebody asks for them; all others are passed by.
const KEPT: [&str; 1] = ["Browser.downloadProgress"];
/// Most events that are kept.
const MAX_EVENTS: usize = 256;
/// Says that a page has died.
const CRASHED: &str = "Inspector.targetCrashed";

/// A conversation with a browser.
pub(super) struct Devtools {
    to: Box<dyn Write + Send>,
    messages: Receiver<Value>,
    events: VecDeque<Value>,
    last_id: u64,
}

impl Devtools {
    /// Writes to one pipe and reads from the other.
    pub fn over(to: impl Write + Send + 'static, from: impl Read + Send + 'static) -> Self {
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            while let Some(message) = read_message(&mut from) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Devtools { to: Box::new(to), messages, events: VecDeque::new(), last_id: 0 }
    }

    /// What the browser answers to `method`, asked of the page of `session`, or of the browser itself.
    ///
    /// # Errors
    /// If it refuses, has ended, or does not answer in time; if its page has died.
    pub fn call(
        &mut self,
        session: Option<&str>,
        method: &str,
        params: Value,
        patience: &Patience,
    ) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.to.write_all(&bytes).and_then(|()| self.to.flush()).context("the browser has ended")?;
        loop {
            let mut answer = self.next(method, patience)?;
            if answer.get("id").and_then(Value::as_u64) != Some(id) {
                self.keep(answer)?;
                continue;
            }
            if let Some(error) = answer.get("error") {
                let text = error.get("message").and_then(Value::as_str).unwrap_or("for no reason it tells");
                bail!("the browser refuses {method}: {text:.300}");
            }
            return Ok(answer.get_mut("result").map(Value::take).unwrap_or_default());
        }
    }

    /// The parameters of the next event `method` for which `is_wanted` holds.
    ///
    /// # Errors
    /// As [`Devtools::call`].
    pub fn event(
        &mut self,
        method: &str,
        is_wanted: impl Fn(&Value) -> bool,
        patience: &Patience,
    ) -> Result<Value> {
        loop {
            while let Some(mut event) = self.events.pop_front() {
                let params = event.get_mut("params").map(Value::take).unwrap_or_default();
                if event.get("method").is_some_and(|name| name == method) && is_wanted(&params) {
                    return Ok(params);
                }
            }
            let event = self.next(method, patience)?;
            self.keep(event)?;
        }
    }

    fn next(&self, what: &str, patience: &Patience) -> Result<Value> {
        loop {
            patience.check(what)?;
            match self.messages.recv_timeout(LOOK) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("the browser has ended, asked for {what}"),
            }
        }
    }

    fn keep(&mut self, message: Value) -> Result<()> {
        let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
        if method == CRASHED {
            bail!("the page has crashed in the browser, or ran out of memory");
        }
        if KEPT.contains(&method) && self.events.len() < MAX_EVENTS {
            self.events.push_back(message);
        }
        Ok(())
    }
}

/// The next message; none at the end, and where there is no such thing.
fn read_message(from: &mut impl BufRead) -> Option<Value> {
    let mut bytes = Vec::new();
    from.by_ref().take(MAX_MESSAGE_BYTES).read_until(0, &mut bytes).ok()?;
    if bytes.pop() != Some(0) {
        return None;
    }
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::Interrupt;
    use std::time::Duration;

    /// What a browser that says `answers` is asked, and what comes of `talk` with it.
    fn talk<T>(answers: &str, talk: impl Fn(&mut Devtools, &Patience) -> T) -> (String, T) {
        let (mut asked, to) = std::io::pipe().unwrap();
        let answers = std::io::Cursor::new(answers.replace('|', "\0").into_bytes());
        let mut devtools = Devtools::over(to, answers);
        let interrupt = Interrupt::default();
        let result = talk(&mut devtools, &Patience::new(&interrupt, Duration::from_secs(60)));
        drop(devtools);
        let mut text = String::new();
        asked.read_to_string(&mut text).unwrap();
        (text, result)
    }

    #[test]
    fn answers_find_their_questions_and_events_wait() {
        let said = r#"{"method":"Page.loaded","params":{}}|{"id":7,"result":{}}|{"method":"Browser.downloadProgress","params":{"state":"inProgress"}}|{"id":1,"result":{"a":[1]}}|{"method":"Browser.downloadProgress","params":{"state":"completed","guid":"x"}}|"#;
        let (asked, (answer, event)) = talk(said, |devtools, patience| {
            let answer = devtools.call(Some("S"), "A.b", json!({"c": 1}), patience).unwrap();
            let is_done = |params: &Value| params["state"] == "completed";
            (answer, devtools.event("Browser.downloadProgress", is_done, patience).unwrap())
        });
        assert_eq!(answer, json!({"a": [1]}));
        assert_eq!(event["guid"], "x");
        let question: Value = serde_json::from_str(asked.strip_suffix('\0').unwrap()).unwrap();
        assert_eq!(question, json!({"id": 1, "method": "A.b", "params": {"c": 1}, "sessionId": "S"}));
    }

    #[test]
    fn what_is_no_answer_is_an_error_that_says_why() {
        for (said, says) in [
            ("", "has ended, asked for A.b"),
            ("{\"id\":1,\"result\":{}}", "has ended"),
            ("no JSON|", "has ended"),
            (r#"{"id":1,"error":{"message":"not allowed"}}|"#, "refuses A.b: not allowed"),
            (r#"{"id":1,"error":3}|"#, "refuses A.b"),
            (r#"{"method":"Inspector.targetCrashed","params":{}}|"#, "crashed"),
        ] {
            let call = |devtools: &mut Devtools, patience: &Patience| {
                format!("{:#}", devtools.call(None, "A.b", json!({}), patience).unwrap_err())
            };
            let (_, error) = talk(said, call);
            assert!(error.contains(says), "{says}: {error}");
        }
    }

    #[test]
    fn a_browser_that_says_nothing_is_not_waited_for_for_ever() {
        let (_keeps_it_open, from) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let (answers, _asks) = from;
        let mut devtools = Devtools::over(std::io::sink(), answers);
        let interrupt = Interrupt::default();
        let patience = Patience::new(&interrupt, Duration::ZERO);
        let error = devtools.call(None, "A.b", json!({}), &patience).unwrap_err().to_string();
        assert!(error.contains("hangs") && error.contains("A.b"), "{error}");
    }
}
