//! Pictures of the page in a real browser, for a person to look at: each state on a 10-inch landscape and a 6-inch portrait
//! screen, by day and by night.
//!
//! `AID_PICTURES=FOLDER cargo test -p aid-hmi --test pictures -- --ignored`; needs Debian's chromium.
#![allow(clippy::expect_used, reason = "a failed expectation is a failed test")]

mod support;

use serde_json::json;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::states::states;
use support::*;

/// Draws the page at this address.
fn draw(address: &str, size: &str, file: &Path, profile: &Path) {
    let done = Command::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--hide-scrollbars",
            "--virtual-time-budget=3000",
        ])
        .arg(format!("--window-size={size}"))
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--screenshot={}", file.display()))
        .arg(address)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("chromium runs");
    assert!(done.success() && file.exists(), "{}", file.display());
}

#[test]
#[ignore = "needs chromium, and somebody who looks at the pictures"]
fn every_state_in_a_real_browser() {
    let folder = PathBuf::from(std::env::var("AID_PICTURES").expect("AID_PICTURES names a folder"));
    std::fs::create_dir_all(&folder).expect("folder");
    let wanted = std::env::var("AID_PICTURES_OF").unwrap_or_default();
    let profile = tempfile::tempdir().expect("folder");
    for theme in ["day", "night"] {
        let settings = "listen = \"127.0.0.1:0\"\nstart_page = \"start.html\"";
        let hmi = Hmi::start(&format!("{settings}\ntheme = \"{theme}\""));
        let cookie = hmi.enter();
        let address = proxy(&hmi, &cookie);
        let mut pages: Vec<_> = states().into_iter().map(|s| (s.0, "", s.1, s.2)).collect();
        pages.push(("name", "name", guest(), "Nobody is logged in"));
        pages.push(("pin", "pin", guest(), "Nobody is logged in"));
        hmi.post("/name", &cookie, "user=eva&key=go");
        hmi.post("/pin", &cookie, "key=1");
        for (name, path, status, words) in pages {
            if !name.contains(&wanted) {
                continue;
            }
            hmi.agent.says(status);
            hmi.wait(&cookie, "/", words);
            if name == "downloading" {
                hmi.agent
                    .tells(json!({"event": "download_progress", "stage": "installing"}));
                hmi.wait(&cookie, "/", "Step 3");
            }
            for (size, form) in [("1280,800", "landscape"), ("720,1280", "portrait")] {
                let file = folder.join(format!("{name}-{form}-{theme}.png"));
                draw(&format!("{address}{path}"), size, &file, profile.path());
            }
        }
    }
}

/// A port that leads to the page with the cookie of `hmi`: the browser's first page is the one to be drawn. Yields its
/// address.
fn proxy(hmi: &Hmi, cookie: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = format!("http://{}/", listener.local_addr().expect("address"));
    let (host, cookie) = (hmi.host().to_owned(), cookie.to_owned());
    std::thread::spawn(move || {
        for browser in listener.incoming().map_while(Result::ok) {
            let (host, cookie) = (host.clone(), cookie.clone());
            // A browser goes when it likes.
            std::thread::spawn(move || drop(forward(&browser, &host, &cookie)));
        }
    });
    address
}

fn forward(browser: &TcpStream, host: &str, cookie: &str) -> std::io::Result<()> {
    let mut request = BufReader::new(browser);
    let mut page = TcpStream::connect(host)?;
    let mut line = String::new();
    request.read_line(&mut line)?;
    // A stream that goes on would keep the browser from drawing: one event, and its end.
    if line.starts_with("GET /events ") {
        let head = "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        let stream = format!("{head}retry: 600000\ndata: changed\n\n");
        return (&mut { browser }).write_all(stream.as_bytes());
    }
    let mut head = format!("{line}host: {host}\r\nconnection: close\r\n{cookie}");
    while !line.trim().is_empty() {
        line.clear();
        request.read_line(&mut line)?;
        let name = line
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        if !matches!(name.as_str(), "host" | "connection" | "cookie" | "origin") {
            head.push_str(&line);
        }
    }
    page.write_all(head.as_bytes())?;
    std::io::copy(&mut page, &mut { browser })?;
    Ok(())
}
