//! The page in a real browser with its script: entered from the start page, changed live, typed on, and lost.
//!
//! `cargo test -p aid-hmi --test browser -- --ignored`; needs Debian's chromium and chromium-driver.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::states::{profile, session};
use support::*;

/// Longest wait for an answer of the browser.
const PATIENCE: Duration = Duration::from_secs(90);

/// A browser, driven by the WebDriver protocol.
struct Browser {
    driver: Child,
    host: String,
    path: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.call("DELETE", "", &json!({}));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver runs");
        let mut lines = BufReader::new(driver.stdout.take().expect("stdout")).lines();
        let said = lines.find_map(|line| {
            let line = line.expect("a line");
            let (_, port) = line.split_once("started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        // Open until the end: it may write more.
        std::thread::spawn(move || lines.for_each(drop));
        let host = format!("127.0.0.1:{}", said.expect("a port"));
        let mut browser = Self {
            driver,
            host,
            path: String::new(),
        };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "pageLoadStrategy": "eager",
            "timeouts": {"script": 60_000},
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": arguments}}}});
        let begun = browser.call("POST", "/session", &wanted);
        let id = begun["sessionId"].as_str().expect("a session");
        browser.path = format!("/session/{id}");
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let (host, body) = (&self.host, body.to_string());
        let request = format!(
            "{method} {}{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            self.path,
            body.len()
        );
        let mut stream = TcpStream::connect(host).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("patience");
        stream.write_all(request.as_bytes()).expect("write");
        // The driver keeps connections open, whatever is asked.
        let mut answer = BufReader::new(stream);
        let (mut line, mut head, mut length) = (String::from("-"), String::new(), 0);
        while !line.trim().is_empty() {
            line.clear();
            answer.read_line(&mut line).expect("head");
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("length");
            }
            head.push_str(&line);
        }
        let mut bytes = vec![0; length];
        answer.read_exact(&mut bytes).expect("body");
        let value: Value = serde_json::from_slice(&bytes).expect("JSON");
        assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {value}");
        value["value"].clone()
    }

    fn open(&self, address: &str) {
        self.call("POST", "/url", &json!({ "url": address }));
    }

    fn run(&self, script: &str) {
        self.call(
            "POST",
            "/execute/sync",
            &json!({"script": script, "args": []}),
        );
    }

    /// Waits until this is true in the page; the driver ends the wait after a minute.
    fn until(&self, condition: &str) {
        let script = format!(
            "const done = arguments[0]; const look = () => ({condition}) ? done(true) : setTimeout(look, 20); look();"
        );
        self.call(
            "POST",
            "/execute/async",
            &json!({"script": script, "args": []}),
        );
    }

    fn click(&self, selector: &str) {
        self.until(&format!("document.querySelector({selector:?}) !== null"));
        self.run(&format!("document.querySelector({selector:?}).click()"));
    }
}

#[test]
#[ignore = "needs chromium and chromium-driver"]
fn a_driver_uses_the_page_in_a_real_browser() {
    let hmi = Hmi::loopback();
    let browser = Browser::start();
    let says =
        |text: &str| format!("window.mark === 1 && document.body.innerText.includes({text:?})");
    browser.open(&format!("file://{}", hmi.start_page().display()));
    browser.until(
        "location.pathname === '/' && location.search === '' && document.readyState === 'complete'",
    );
    // If the page were loaded anew, this would be gone.
    browser.run("window.mark = 1");
    browser.until(&says("Nobody is logged in"));
    let mut active = session(json!({"phase": "active", "profiles": profile("enabled")}));
    active["session"]["display_name"] = json!("Eva <b>x</b>");
    hmi.agent.says(active);
    browser.until(&says("Hello Eva <b>x</b>"));
    browser.click("#theme");
    browser.until("document.documentElement.className === 'night'");
    browser.click("form[action='/logout'] button");
    hmi.agent.says(guest());
    browser.until(&says("Nobody is logged in"));
    browser.click("a[href='/name']");
    browser.until("location.pathname === '/name' && document.readyState === 'complete'");
    browser.run("window.mark = 1");
    for (n, key) in ["e", "v", "a"].iter().enumerate() {
        browser.click(&format!("button[value='{key}']"));
        browser.until(&format!(
            "document.querySelector('#user').value.length === {}",
            n + 1
        ));
    }
    browser.click("button[value='go']");
    browser.until(&says("PIN for eva"));
    // Digits of a keyboard.
    for (n, digit) in "4711".chars().enumerate() {
        browser.run(&format!(
            "document.dispatchEvent(new KeyboardEvent('keydown', {{key: '{digit}', bubbles: true}}))"
        ));
        browser.until(&format!(
            "document.querySelector('.dots').textContent.length === {}",
            n + 1
        ));
    }
    // For gloves.
    browser.until(
        "[...document.querySelectorAll('button, a.button')].map(b => b.getBoundingClientRect()) \
         .every(box => Math.min(box.width, box.height) >= 76)",
    );
    browser.click("button[value='go']");
    browser.until("location.pathname === '/'");
    let posts = hmi.agent.script(|s| s.posts.clone());
    assert_eq!(posts[0].0, "/v1/logout");
    let body: Value = serde_json::from_str(&posts[1].1).expect("JSON");
    assert_eq!(body, json!({"user": "eva", "pin": "4711"}));
    drop(hmi);
    browser.until("!document.getElementById('lost').hidden");
}
