//! The page in a real browser: entered from the start page, changed live, typed on, and lost; and each state on a 10-inch
//! landscape and a 6-inch portrait screen, by day and by night, judged by axe-core (WCAG 2.2 A and AA), with targets for
//! gloves. Pictures are in `target/screenshots/hmi`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is a failed test"
)]

mod support;

use aid_needs::{Need, missing};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::states::{profile, session, states};
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

/// Screens of cars: name, width, height.
const SCREENS: [(&str, u32, u32); 2] = [("landscape", 1280, 800), ("portrait", 720, 1280)];
/// Smallest side of a target, CSS pixels.
const GLOVES: &str = "[...document.querySelectorAll('button, a.button')].map(b => [b.innerText, b.getBoundingClientRect()])\
    .filter(([, box]) => box.width > 0 && Math.min(box.width, box.height) < 76).map(([text]) => text)";

fn is_there(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").output();
    asked.is_ok_and(|output| output.status.success())
}

impl Browser {
    /// Starts one; `None`, and the test is to be skipped, where there is none.
    fn start() -> Option<Self> {
        if !is_there("chromium") || !is_there("chromedriver") {
            missing(Need::Chromium, "chromium or chromedriver is not here");
            return None;
        }
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
            "--disable-background-networking",
            "--hide-scrollbars",
            "--lang=en",
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "pageLoadStrategy": "eager",
            "timeouts": {"script": 60_000},
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": arguments}}}});
        let begun = browser.call("POST", "/session", &wanted);
        let id = begun["sessionId"].as_str().expect("a session");
        browser.path = format!("/session/{id}");
        Some(browser)
    }

    fn devtools(&self, command: &str, params: &Value) {
        let body = json!({"cmd": command, "params": params});
        self.call("POST", "/goog/cdp/execute", &body);
    }

    /// Lets the page run its script, or not.
    fn scripts(&self, on: bool) {
        self.devtools(
            "Emulation.setScriptExecutionDisabled",
            &json!({"value": !on}),
        );
    }

    fn value(&self, expression: &str) -> Value {
        let script = format!("return {expression}");
        let body = json!({"script": script, "args": []});
        self.call("POST", "/execute/sync", &body)
    }

    /// Looks at the page on each screen: keeps a picture, and judges it. Axe, which takes most of the time, looks at each
    /// size in one theme: colours do not depend on the size, nor sizes on colours.
    fn show(&self, name: &str, theme: &str, axe: Option<&str>) {
        for (screen, width, height) in SCREENS {
            let size =
                json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
            self.devtools("Emulation.setDeviceMetricsOverride", &size);
            let what = format!("{name}-{screen}-{theme}");
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/screenshots/hmi");
            std::fs::create_dir_all(&folder).expect("folder");
            let picture = self.call("GET", "/screenshot", &json!({}));
            let picture = decoded(picture.as_str().expect("a picture"));
            std::fs::write(folder.join(format!("{what}.png")), picture).expect("write");
            assert_eq!(
                self.value(GLOVES),
                json!([]),
                "{what}: too small for gloves"
            );
            let wide =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(
                self.value(wide),
                json!(0),
                "{what} is wider than its screen"
            );
            let judged =
                ["landscape-day", "portrait-night"].contains(&format!("{screen}-{theme}").as_str());
            if let Some(axe) = axe.filter(|_| judged) {
                assert_eq!(self.findings(axe), json!([]), "{what}");
            }
        }
    }

    /// What axe-core finds. Without scripts the page is loaded again every five seconds, which WCAG 2.2.1 allows for what
    /// happens at that moment: it shows the state of the car.
    fn findings(&self, axe: &str) -> Value {
        if self.value("typeof axe") != json!("object") {
            self.run(axe);
        }
        let tags = json!(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]);
        let script = format!(
            "const done = arguments[0]; axe.run({{runOnly: {tags}, rules: {{'meta-refresh': {{enabled: false}}}}}}).then(r => done(r.violations.map(v => \
             v.id + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join('; '))), e => done([String(e)]));"
        );
        let body = json!({"script": script, "args": []});
        self.call("POST", "/execute/async", &body)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.try_call(method, path, body);
        answer.unwrap_or_else(|why| panic!("{method} {path}: {why}"))
    }

    /// What the driver answers, or why it can't.
    fn try_call(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
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
        match head.starts_with("HTTP/1.1 200") {
            true => Ok(value["value"].clone()),
            false => Err(value),
        }
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

    /// Waits until this is true in the page. Asked from outside: a script that waits inside ends with its page.
    #[allow(
        clippy::disallowed_methods,
        reason = "between two looks, with a deadline"
    )]
    fn until(&self, condition: &str) {
        let body = json!({"script": format!("return Boolean({condition})"), "args": []});
        let start = Instant::now();
        while self.try_call("POST", "/execute/sync", &body) != Ok(json!(true)) {
            assert!(start.elapsed() < PATIENCE, "never: {condition}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn click(&self, selector: &str) {
        self.until(&format!("document.querySelector({selector:?}) !== null"));
        self.run(&format!("document.querySelector({selector:?}).click()"));
    }
}

/// The bytes of a text in Base64.
fn decoded(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'=').map(digit).collect();
    let group = |four: &[u8]| {
        let bits = (0..4).fold(0_u32, |all, n| {
            all << 6 | u32::from(four.get(n).copied().unwrap_or(0))
        });
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

#[test]
fn every_state_is_readable_by_day_and_night_with_gloves_and_without_scripts() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let axe = aid_needs::axe();
    let axe = axe.as_deref();
    for theme in ["day", "night"] {
        let settings = "listen = \"127.0.0.1:0\"\nstart_page = \"start.html\"";
        let hmi = Hmi::start(&format!("{settings}\ntheme = \"{theme}\""));
        browser.open(&format!("file://{}", hmi.start_page().display()));
        browser.until("location.pathname === '/' && location.search === '' && document.readyState === 'complete'");
        let home = format!("http://{}/", hmi.host());
        for (name, status, words, _) in states() {
            hmi.agent.says(status);
            browser.until(&format!("document.body.textContent.includes({words:?})"));
            browser.show(name, theme, axe);
        }
        // The pages to type on, and one of the states, as they are without scripts.
        hmi.agent.says(guest());
        browser.until("document.body.textContent.includes('Nobody is logged in')");
        for (name, path) in [("name", "name"), ("pin", "pin"), ("guest-plain", "")] {
            browser.scripts(false);
            browser.open(&format!("{home}{path}"));
            browser.scripts(true);
            if name == "name" {
                browser.run("document.querySelector('#user').value = 'eva'");
            }
            browser.show(name, theme, axe);
            if name == "name" {
                browser.click("button[value='go']");
                browser.until("location.pathname === '/pin'");
            }
        }
    }
}

#[test]
fn a_driver_uses_the_page_in_a_real_browser() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let hmi = Hmi::loopback();
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
