//! How long pages take, and what they weigh, with a million vehicles, users, links and profiles in the database of aid-cmp
//! and as many customers, subscriptions, links and profiles in that of aid-msp.
//!
//! Both programs serve as processes of their own; one browser asks over TLS and keeps its connection, as one does while it
//! shows a page after another.

use super::aid1::{people::first, start};
use super::{BenchArgs, Figures, say, upkeep};
use crate::leftovers::Workshop;
use crate::site::{Options, Site};
use crate::story::books;
use crate::story::browser::{Browser, field};
use aid_cli::cli::{Failure, LogArgs};
use aid_cli::private;
use aid_id::Eid;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Times that each page is asked for, after one time that does not count.
const TIMES: usize = 100;
/// Longest median, ms.
const LIMIT_MS: f64 = 20.0;
/// Largest first visit, bytes: the page with all files that it loads.
const LIMIT_FIRST: usize = 60_000;
/// Largest later visit, bytes: the page alone.
const LIMIT_AFTER: usize = 15_000;
/// Whose pages are looked at: one of the many, who has an order that is open.
const ONE: u32 = 425;
/// Another one, whose vehicle asked for an activation code.
const ASKED: u32 = 420;
/// Their password, and that of the operator at the consoles.
const PASSWORD: &str = "look at my pages";

/// What was found of one page.
#[derive(Debug, Clone, Serialize)]
struct Line {
    place: &'static str,
    path: String,
    median_ms: f64,
    p99_ms: f64,
    first_bytes: usize,
    after_bytes: usize,
    is_within: bool,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
struct Found {
    vehicles: u32,
    build: &'static str,
    fill_s: f64,
    lines: Vec<Line>,
    limit_ms: f64,
    limit_first_bytes: usize,
    limit_after_bytes: usize,
}

/// Runs the suite.
pub(super) fn run(args: &BenchArgs, logs: &LogArgs) -> Result<Figures, Failure> {
    let place = args.state.clone().unwrap_or_else(std::env::temp_dir);
    let temporary = Workshop::new("pages", &place)?;
    let site = Site::create(temporary.path(), Options::default())?;
    site.make_logs()?;
    let found = measure(&site, args.stored, logs)?;
    Ok(Figures {
        text: text(&found),
        json: serde_json::to_value(&found)?,
    })
}

fn measure(site: &Site, count: u32, logs: &LogArgs) -> Result<Found, Failure> {
    say(&format!(
        "making databases of {count} vehicles and customers"
    ));
    let began = Instant::now();
    fill(site, count)?;
    let fill_s = began.elapsed().as_secs_f64();
    let serve = |program: &'static str, config| {
        start(program, &["serve", "--config", config], site, &logs.log)
    };
    let (cmp, msp) = (serve("aid-cmp", "cmp.toml")?, serve("aid-msp", "msp.toml")?);
    let base = |part: &crate::process::Part, name: &str| {
        let address = part.address(name);
        let port = address
            .and_then(|a| a.rsplit_once(':'))
            .map(|(_, port)| port);
        let port = port.ok_or_else(|| Failure::new(format!("no listener {name}")))?;
        Ok::<_, Failure>(format!("https://localhost:{port}"))
    };
    let mut lines = Vec::new();
    for (place, base, pages) in [
        ("portal", base(&cmp, "portal")?, portal_pages()?),
        ("console", base(&cmp, "admin")?, console_pages()?),
        ("touchpoint", base(&msp, "touchpoint")?, touchpoint_pages()),
        ("console of the MSP", base(&msp, "admin")?, msp_pages()?),
    ] {
        let browser = Browser::new(site)?;
        sign_in(&browser, place, &base)?;
        let mut visit = Visit {
            browser,
            base,
            files: BTreeMap::new(),
        };
        for path in pages {
            lines.push(visit.line(place, path)?);
        }
    }
    Ok(Found {
        vehicles: count,
        build: if cfg!(debug_assertions) {
            "debug"
        } else {
            "release"
        },
        fill_s,
        lines,
        limit_ms: LIMIT_MS,
        limit_first_bytes: LIMIT_FIRST,
        limit_after_bytes: LIMIT_AFTER,
    })
}

/// Makes both databases, with people who sign in, and consoles with TLS.
fn fill(site: &Site, count: u32) -> Result<(), Failure> {
    for config in ["cmp.toml", "msp.toml"] {
        let file = site.path(config);
        let server = config.replace(".toml", "-server");
        let old = std::fs::read_to_string(&file)?;
        let admin = format!(
            "\n[admin]\nlisten = \"127.0.0.1:0\"\ncert = \"pki/aid/{server}.pem\"\nkey = \"pki/aid/{server}.key\"\n"
        );
        private::write(&file, format!("{old}{admin}").as_bytes())?;
    }
    let config = aid_cmp::config::read(&site.path("cmp.toml"))?;
    let secret = format!("{PASSWORD}\n");
    let cmp = |args: &[&str]| {
        let args = [args, &["--config", "cmp.toml"]].concat();
        books::output(site, "aid-cmp", &args, &secret).map(drop)
    };
    let msp = |args: &[&str]| {
        let args = [args, &["--config", "msp.toml"]].concat();
        books::output(site, "aid-msp", &args, &secret).map(drop)
    };
    cmp(&[
        "member",
        "add",
        "operator-1",
        "--role",
        "admin",
        "--password-stdin",
    ])?;
    let msp_name = first(&config)?.name.clone();
    upkeep::fill(&site.path("state/cmp.sqlite"), count, &msp_name)?;
    cmp(&[
        "user",
        "set-password",
        &format!("crowd-{ONE}"),
        "--password-stdin",
    ])?;
    msp(&["member", "add", "operator-1", "--role", "admin"])?;
    let sql = include_str!("pages/customers.sql");
    let sql = sql.replace("{count}", &count.to_string());
    let sql = sql.replace("{now}", &aid_cmp::service::now().to_string());
    let sql = sql.replace("{cmp}", first(&config)?.own_client_id.as_str());
    let sql = sql.replace("{remainder}", "93");
    upkeep::fill_with(&site.path("state/msp.sqlite"), &sql)?;
    msp(&["customer", "add", &format!("crowd-{ONE}")])
}

/// The vehicle of [`ONE`].
fn eid() -> Result<String, Failure> {
    Ok(Eid::with_check_digits(&format!("89049034{ONE:022}"))?.to_string())
}

fn portal_pages() -> Result<Vec<String>, Failure> {
    let own = ["/", "/cars", "/subscriptions", "/settings", "/pin"];
    let mut pages: Vec<String> = own.map(str::to_owned).into();
    pages.push(format!("/cars/{}", eid()?));
    Ok(pages)
}

fn console_pages() -> Result<Vec<String>, Failure> {
    let eid = eid()?;
    let own = [
        "",
        "/vehicles",
        "/orders",
        "/orders?state=open",
        "/orders?state=overdue",
        "/calls",
        "/calls?state=done",
        "/users",
        "/msps",
        "/audit",
    ];
    let mut pages: Vec<String> = own.map(|path| format!("/console{path}")).into();
    pages.extend([
        format!("/console/vehicles?search={eid}"),
        format!("/console/vehicles?search=crowd-{ONE}"),
        format!("/console/vehicles/{eid}"),
        format!("/console/orders?vehicle={eid}"),
        format!("/console/users/crowd-{ONE}"),
        format!("/console/audit?about={eid}"),
        "/console/audit?actor=Mobile+One".to_owned(),
        format!("/console/correlations/01950000-0000-0000-0000-{ASKED:012x}"),
    ]);
    Ok(pages)
}

fn touchpoint_pages() -> Vec<String> {
    vec!["/".to_owned()]
}

fn msp_pages() -> Result<Vec<String>, Failure> {
    let eid = eid()?;
    let own = [
        "",
        "/customers",
        "/subscriptions",
        "/links",
        "/orders",
        "/orders?state=open",
        "/calls",
        "/calls?state=waiting",
        "/profiles",
        "/cmps",
        "/audit",
    ];
    let mut pages: Vec<String> = own.map(|path| format!("/console{path}")).into();
    pages.extend([
        format!("/console/customers/crowd-{ONE}"),
        format!("/console/subscriptions/crowd-{ONE}"),
        format!("/console/links/01920000-0000-4000-8000-{ONE:012x}"),
        format!("/console/orders/01930000-0000-4000-8000-{ONE:012x}"),
        format!("/console/profiles/8986{ONE:015}"),
        format!("/console/correlations/01950000-0000-4000-8000-{ONE:012x}"),
        format!("/console/find?text={eid}"),
    ]);
    Ok(pages)
}

/// Signs in wherever these pages are.
fn sign_in(browser: &Browser, place: &str, base: &str) -> Result<(), Failure> {
    let is_console = place.starts_with("console");
    let login = match is_console {
        true => format!("{base}/console/login"),
        false => format!("{base}/login"),
    };
    let one = format!("crowd-{ONE}");
    let (field_name, name) = match place {
        "touchpoint" => ("user", one.as_str()),
        "portal" => ("name", one.as_str()),
        _ => ("name", "operator-1"),
    };
    let csrf = field(&browser.page(&login)?, "csrf")?;
    let mut form = vec![
        ("csrf", csrf.as_str()),
        (field_name, name),
        ("password", PASSWORD),
    ];
    if place == "portal" {
        form.push(("next", "/"));
    }
    browser.submit(&login, &form).map(drop)
}

/// A browser at the pages of one server.
struct Visit {
    browser: Browser,
    base: String,
    /// Sizes of the files that pages load.
    files: BTreeMap<String, usize>,
}

impl Visit {
    fn line(&mut self, place: &'static str, path: String) -> Result<Line, Failure> {
        let url = format!("{}{path}", self.base);
        // A question that leads on to a page: both count.
        let page = self.browser.follow(&self.base, &url)?;
        let mut times = Vec::with_capacity(TIMES);
        for _ in 0..TIMES {
            let began = Instant::now();
            self.browser.follow(&self.base, &url)?;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        let at = |part: usize| milliseconds(times.get(TIMES * part / 100));
        let (median_ms, p99_ms) = (at(50), at(99));
        let after_bytes = page.len();
        let first_bytes = after_bytes + self.loaded(&page)?;
        Ok(Line {
            place,
            is_within: median_ms <= LIMIT_MS
                && first_bytes <= LIMIT_FIRST
                && after_bytes <= LIMIT_AFTER,
            path,
            median_ms,
            p99_ms,
            first_bytes,
            after_bytes,
        })
    }

    /// Bytes of the files that a page loads.
    fn loaded(&mut self, page: &str) -> Result<usize, Failure> {
        let mut sum = 0;
        for rest in page.split("\"/assets/").skip(1) {
            let name = rest.split('"').next().unwrap_or_default();
            let size = match self.files.get(name) {
                Some(size) => *size,
                None => {
                    let url = format!("{}/assets/{name}", self.base);
                    let size = self.browser.page(&url)?.len();
                    self.files.insert(name.to_owned(), size);
                    size
                }
            };
            sum += size;
        }
        Ok(sum)
    }
}

fn milliseconds(time: Option<&Duration>) -> f64 {
    time.map_or(0.0, Duration::as_secs_f64) * 1e3
}

fn text(found: &Found) -> String {
    let mut text = format!(
        "{} vehicles on SQLite, {} build, databases made in {:.0} s; {TIMES} visits each; limits: median {LIMIT_MS} ms, \
         first visit {LIMIT_FIRST} bytes, later {LIMIT_AFTER}\n{:72} {:>9} {:>9} {:>8} {:>8}\n",
        found.vehicles, found.build, found.fill_s, "page", "median ms", "p99 ms", "first", "later",
    );
    for line in &found.lines {
        let page = format!("{} {}", line.place, line.path);
        let verdict = if line.is_within { "" } else { "  BEYOND" };
        let _ = writeln!(
            text,
            "{page:72} {:>9.2} {:>9.2} {:>8} {:>8}{verdict}",
            line.median_ms, line.p99_ms, line.first_bytes, line.after_bytes,
        );
    }
    text
}
