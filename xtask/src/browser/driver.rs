//! A browser without a window, driven by WebDriver: one request, one answer. Knows nothing of our pages.
//!
//! Source: W3C WebDriver; `goog/cdp/execute` of chromedriver passes on what the DevTools protocol can do besides.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use ureq::Agent;

use crate::XtaskError;

const PROGRAM: &str = "chromedriver";

/// What WebDriver calls the reference of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// No answer takes longer: the browser hangs.
const LONGEST: Duration = Duration::from_secs(120);

/// No answer is larger, in **bytes**: a large page is printed on hundreds of sheets.
const LARGEST: u64 = 256 << 20;

/// How a page is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Width in CSS pixels.
    pub(super) width: u32,
    /// Whether the reader prefers the dark.
    pub(super) dark: bool,
}

/// A browser. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Driver {
    child: Child,
    agent: Agent,
    session: String,
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It is over either way; the browser ends with its session, the driver with its process.
        let _ended = self.agent.delete(&self.session).call();
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

impl Driver {
    /// Starts a browser.
    pub(super) fn start() -> Result<Self, XtaskError> {
        let mut child = Command::new(PROGRAM)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| XtaskError::Start { command: PROGRAM.to_string(), source })?;
        let port = port(&mut child);
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(LONGEST)).build();
        let base = format!("http://127.0.0.1:{}/session", port.unwrap_or_default());
        let mut driver = Self { child, agent: config.into(), session: base };
        let options =
            json!({ "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"] });
        let always = json!({ "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } });
        let started = driver.post("", &json!({ "capabilities": { "alwaysMatch": always } }))?;
        driver.session = format!("{}/{}", driver.session, word(&started, "/sessionId"));
        Ok(driver)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, XtaskError> {
        let request = if path.is_empty() { "session".to_string() } else { format!("{path} {body}") };
        let failed = |source| XtaskError::Driver { request: request.clone(), source: Box::new(source) };
        let mut answer =
            self.agent.post(format!("{}{path}", self.session)).send_json(body).map_err(failed)?;
        let ok = answer.status().is_success();
        let body = answer.body_mut().with_config().limit(LARGEST);
        let answer: Value = body.read_json().map_err(failed)?;
        let value = answer.get("value").cloned().unwrap_or_default();
        if !ok {
            let said = word(&value, "/message").lines().next().unwrap_or_default().to_string();
            return Err(XtaskError::Browser { request, said });
        }
        Ok(value)
    }

    /// What the DevTools protocol can do.
    fn tools(&self, command: &str, parameters: &Value) -> Result<Value, XtaskError> {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Opens a file, and waits until it is loaded.
    pub(super) fn open(&self, page: &Path) -> Result<(), XtaskError> {
        self.post("/url", &json!({ "url": format!("file://{}", page.display()) })).map(|_| ())
    }

    /// The size of the window and the colours that the reader prefers.
    pub(super) fn view(&self, view: View) -> Result<(), XtaskError> {
        let phone = view.width < 500;
        let metrics = json!({ "width": view.width, "height": 900, "deviceScaleFactor": 1, "mobile": phone });
        self.tools("Emulation.setDeviceMetricsOverride", &metrics)?;
        let scheme = if view.dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.tools("Emulation.setEmulatedMedia", &json!({ "features": features })).map(|_| ())
    }

    /// Whether scripts of pages run.
    pub(super) fn scripts(&self, run: bool) -> Result<(), XtaskError> {
        self.tools("Emulation.setScriptExecutionDisabled", &json!({ "value": !run })).map(|_| ())
    }

    /// What an expression gives on the page.
    pub(super) fn ask(&self, expression: &str) -> Result<Value, XtaskError> {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let answer = self.tools("Runtime.evaluate", &parameters)?;
        match answer.get("exceptionDetails") {
            None => Ok(answer.pointer("/result/value").cloned().unwrap_or_default()),
            Some(thrown) => Err(XtaskError::Browser {
                request: expression.to_string(),
                said: word(thrown, "/exception/description"),
            }),
        }
    }

    fn element(&self, selector: &str) -> Result<String, XtaskError> {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }))?;
        Ok(word(&found, &format!("/{ELEMENT}")))
    }

    /// Clicks on the first element that the selector means.
    pub(super) fn click(&self, selector: &str) -> Result<(), XtaskError> {
        let element = self.element(selector)?;
        self.post(&format!("/element/{element}/click"), &json!({})).map(|_| ())
    }

    /// Moves the pointer over the first element that the selector means.
    pub(super) fn point_at(&self, selector: &str) -> Result<(), XtaskError> {
        self.ask(&format!("document.querySelector({selector:?}).scrollIntoView({{ block: 'center' }})"))?;
        let origin = json!({ ELEMENT: self.element(selector)? });
        let step = json!({ "type": "pointerMove", "duration": 0, "x": 0, "y": 0, "origin": origin });
        let mouse = json!({ "pointerType": "mouse" });
        let pointer = json!({ "type": "pointer", "id": "mouse", "parameters": mouse, "actions": [step] });
        self.post("/actions", &json!({ "actions": [pointer] })).map(|_| ())
    }

    /// What pages said on the console since the last time: a policy that was broken, an exception.
    pub(super) fn console(&self) -> Result<Vec<String>, XtaskError> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }))?;
        let messages = entries.as_array().into_iter().flatten();
        Ok(messages.map(|entry| word(entry, "/message")).collect())
    }

    /// Writes what is seen to a PNG file.
    pub(super) fn picture(&self, file: &Path) -> Result<(), XtaskError> {
        let shot = self.tools("Page.captureScreenshot", &json!({ "format": "png" }))?;
        write(file, &shot)
    }

    /// Writes what would be printed to a PDF file.
    pub(super) fn print(&self, file: &Path) -> Result<(), XtaskError> {
        let paper = json!({ "printBackground": true, "paperWidth": 8.27, "paperHeight": 11.69 });
        let printed = self.tools("Page.printToPDF", &paper)?;
        write(file, &printed)
    }
}

fn write(file: &Path, answer: &Value) -> Result<(), XtaskError> {
    let bytes = STANDARD.decode(word(answer, "/data")).unwrap_or_default();
    fs::write(file, bytes).map_err(|source| XtaskError::Write { path: file.to_path_buf(), source })
}

/// The string at a place of an answer; empty if there is none.
fn word(answer: &Value, place: &str) -> String {
    answer.pointer(place).and_then(Value::as_str).unwrap_or_default().to_string()
}

/// The port that the driver chose: the last number of the line that says that it has started.
fn port(child: &mut Child) -> Option<u16> {
    let lines = BufReader::new(child.stdout.take()?).lines().map_while(Result::ok);
    let line = lines.into_iter().find(|line| line.contains("started successfully on port"))?;
    line.trim_end_matches('.').rsplit(' ').next()?.parse().ok()
}
