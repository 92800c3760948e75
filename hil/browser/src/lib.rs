//! Headless Chromium, driven by WebDriver, as a person would: by what stands on the page.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "for tests: a browser that does not do what it should has failed the test"
)]

use aid_needs::{Need, missing};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use thirtyfour::extensions::cdp::ChromeDevTools;
pub use thirtyfour::prelude::*;

/// Longest wait for something that a page shall show.
const PATIENCE: Duration = Duration::from_secs(40);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(100);

/// Sizes: name, width, height, and whether it is a phone.
const SIZES: [(&str, u32, u32, bool); 2] =
    [("desktop", 1280, 900, false), ("phone", 390, 844, true)];
/// Where pictures are kept.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/screenshots");
/// Rules of axe-core that count.
const TAGS: [&str; 5] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

/// A browser with a profile of its own.
#[derive(Debug)]
pub struct Browser {
    /// For what has no method here.
    pub driver: WebDriver,
    axe: Option<String>,
    server: Child,
    _profile: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn is_there(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").output();
    asked.is_ok_and(|output| output.status.success())
}

impl Browser {
    /// Starts one; `None`, and the test is to be skipped, where there is none.
    pub async fn start() -> Option<Self> {
        if !is_there("chromium") || !is_there("chromedriver") {
            missing(Need::Chromium, "chromium or chromedriver is not here");
            return None;
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut server = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let port: u16 = loop {
            let line = lines.next().expect("chromedriver says its port").unwrap();
            if let Some((_, rest)) = line.split_once("successfully on port ") {
                break rest.trim_end_matches('.').parse().unwrap();
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        let profile = tempfile::tempdir().unwrap();
        let mut caps = DesiredCapabilities::chrome();
        for arg in [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--lang=en",
            &format!("--user-data-dir={}", profile.path().display()),
        ] {
            caps.add_arg(arg).unwrap();
        }
        // The CA of the set-up is nobody else's.
        caps.accept_insecure_certs(true).unwrap();
        let driver = WebDriver::new(&format!("http://127.0.0.1:{port}"), caps).await;
        Some(Self {
            driver: driver.unwrap(),
            axe: aid_needs::axe(),
            server,
            _profile: profile,
        })
    }

    /// Ends it in order.
    pub async fn quit(self) {
        self.driver.clone().quit().await.unwrap();
    }

    async fn devtools(&self, command: &str, params: Value) {
        let tools = ChromeDevTools::new(self.driver.handle.clone());
        tools
            .execute_cdp_with_params(command, params)
            .await
            .unwrap();
    }

    /// Lets pages run scripts, or not.
    pub async fn scripts(&self, on: bool) {
        let value = json!({"value": !on});
        self.devtools("Emulation.setScriptExecutionDisabled", value)
            .await;
    }

    /// The languages that the reader likes, best first.
    pub async fn language(&self, tag: &str) {
        let agent = self.js("return navigator.userAgent").await;
        let params = json!({"userAgent": agent, "acceptLanguage": tag});
        self.devtools("Emulation.setUserAgentOverride", params)
            .await;
    }

    /// Opens an address.
    pub async fn goto(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    /// The path of the page with its query.
    pub async fn path(&self) -> String {
        let url = self.driver.current_url().await.unwrap();
        match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        }
    }

    /// What a script yields in the page, also where pages may not run scripts of their own.
    pub async fn js(&self, script: &str) -> Value {
        self.driver
            .execute(script, vec![])
            .await
            .unwrap()
            .json()
            .clone()
    }

    /// What stands on the page, folded parts left out.
    pub async fn text(&self) -> String {
        let body = self.driver.find(By::Tag("body")).await;
        match body {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until the page shows this.
    pub async fn sees(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let page = self.text().await;
            if page.contains(text) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "no {text:?} on {}:\n{page}",
                self.path().await
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Types into the field of this name, in place of what is in it.
    pub async fn fill(&self, name: &str, text: &str) {
        let field = format!("main input[name='{name}']:not([type=hidden])");
        let deadline = Instant::now() + PATIENCE;
        // The page may still be on its way.
        while let Err(error) = self.try_fill(&field, text).await {
            let path = self.path().await;
            assert!(
                Instant::now() < deadline,
                "no field {name} on {path}: {error}"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn try_fill(&self, field: &str, text: &str) -> WebDriverResult<()> {
        let field = self.driver.find(By::Css(field)).await?;
        field.clear().await?;
        field.send_keys(text).await
    }

    /// Presses the button or follows the link with this text.
    pub async fn press(&self, text: &str) {
        let path = format!(
            "//button[normalize-space()=\"{text}\"] | //a[normalize-space()=\"{text}\"] | //summary[normalize-space()=\"{text}\"]"
        );
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.try_press(&path).await {
            assert!(
                Instant::now() < deadline,
                "no {text:?} to press on {}: {error}\n{}",
                self.path().await,
                self.text().await
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn try_press(&self, path: &str) -> WebDriverResult<()> {
        self.driver.find(By::XPath(path)).await?.click().await
    }

    /// Looks at the page in all sizes and colours, and keeps pictures of it under this name.
    pub async fn show(&self, name: &str) {
        let folder = PathBuf::from(FOLDER);
        std::fs::create_dir_all(&folder).unwrap();
        for (size, width, height, mobile) in SIZES {
            let metrics =
                json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile});
            self.devtools("Emulation.setDeviceMetricsOverride", metrics)
                .await;
            for colours in ["light", "dark"] {
                let media =
                    json!({"features": [{"name": "prefers-color-scheme", "value": colours}]});
                self.devtools("Emulation.setEmulatedMedia", media).await;
                let picture = folder.join(format!("{name}-{size}-{colours}.png"));
                self.driver.screenshot(&picture).await.unwrap();
                self.judge(&format!("{name}, {size}, {colours}")).await;
            }
        }
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({}))
            .await;
        self.devtools("Emulation.setEmulatedMedia", json!({"features": []}))
            .await;
    }

    /// No finding of axe-core, nothing wider than the window, no request to anybody else.
    async fn judge(&self, what: &str) {
        let wide =
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(
            self.js(wide).await,
            json!(0),
            "{what} is wider than its window"
        );
        let foreign = "return performance.getEntriesByType('resource').map(e => e.name)\
            .filter(n => !n.startsWith(location.origin))";
        assert_eq!(self.js(foreign).await, json!([]), "{what}");
        let Some(axe) = &self.axe else {
            return;
        };
        if self.js("return typeof axe").await != json!("object") {
            self.js(axe).await;
        }
        let run = format!(
            "const done = arguments[arguments.length - 1];\
             axe.run({{runOnly: {tags}}}).then(r => done(r.violations.map(v => \
             v.id + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join('; '))), e => done([String(e)]));",
            tags = json!(TAGS)
        );
        let found = self.driver.execute_async(&run, vec![]).await.unwrap();
        assert_eq!(found.json(), &json!([]), "{what}");
    }

    /// What has the focus: its name or its text.
    pub async fn focus(&self) -> String {
        let active = "const e = document.activeElement; return e.name || e.textContent.trim()";
        self.js(active)
            .await
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Moves the focus by the Tab key until it is on something of this name or text, as a person without a mouse does. On the
    /// way every stop shows where the focus is.
    pub async fn tab_to(&self, wanted: &str) {
        let ring = "const s = getComputedStyle(document.activeElement); \
            return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2";
        let mut seen = Vec::new();
        while seen.len() < 100 {
            self.key(Key::Tab).await;
            let focus = self.focus().await;
            assert_eq!(
                self.js(ring).await,
                json!(true),
                "no ring around {focus:?} on {}",
                self.path().await
            );
            if focus == wanted {
                return;
            }
            seen.push(focus);
        }
        let path = self.path().await;
        assert!(
            seen.iter().any(|focus| focus == wanted),
            "no {wanted:?} by keyboard on {path}: {seen:?}"
        );
    }

    /// Presses a key.
    pub async fn key(&self, key: Key) {
        let actions = self.driver.action_chain().send_keys(key);
        actions.perform().await.unwrap();
    }
}
