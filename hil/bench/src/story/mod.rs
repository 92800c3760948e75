//! What a driver does with a car, step by step, and what everybody must know afterwards.
//! AID.02 §4.1 onboarding, §4.3 login to a car without an OP, logout.

pub(crate) mod agent;
mod aka;
pub(crate) mod books;
pub(crate) mod browser;
mod sim;

use crate::process::{Extras, Part, Spawn};
use crate::report::{Report, Step};
use crate::site::Site;
use crate::watch::Recording;
use agent::{Agent, Counters};
use aid_cli::cli::{self, Failure};
pub(crate) use aka::{Challenge, challenge};
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime};

/// Longest wait for anything that other parts have to bring about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The parts in the order in which they are started: who is called before who calls.
const PARTS: [(&str, &[&str]); 5] = [
    ("euicc-sim", &["serve", "--config", "euicc.toml"]),
    ("aid-smdp", &["serve", "--config", "smdp.toml"]),
    ("aid-msp", &["serve", "--config", "msp.toml"]),
    ("aid-cmp", &["serve", "--config", "cmp.toml"]),
    ("aid-agent", &["run", "--config", "agent.toml"]),
];

/// How the story is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Telling<'a> {
    /// Log filter of the parts.
    pub(crate) log: &'a str,
    /// Show every message of every part.
    pub(crate) trace: bool,
    /// Say what happens, on stderr.
    pub(crate) aloud: bool,
    /// Count the parts' instructions from the first login to enabled (callgrind).
    pub(crate) counted: bool,
    /// Records what happens, for the live page and the report.
    pub(crate) recording: Option<&'a Recording>,
    /// Start the page of the car's screen (aid-hmi), and show its address with what is recorded.
    pub(crate) screen: bool,
    /// Pause before each thing that the driver does, so that a person can follow.
    pub(crate) pace: Duration,
}

/// A story that is going on.
struct Story<'a> {
    site: &'a Site,
    telling: Telling<'a>,
    parts: Vec<Part>,
    report: Report,
    since: Instant,
    before: Counters,
}

/// Tells the whole story in this set-up; the report says how far it came.
pub(crate) fn tell(site: &Site, telling: Telling<'_>) -> Report {
    let mut story = Story {
        site,
        telling,
        parts: Vec::new(),
        report: Report::new(&site.eid, &site.subject.iccid),
        since: Instant::now(),
        before: Counters::default(),
    };
    match story.run() {
        Ok(()) => story.report.ok = true,
        Err((step, failure)) => story.fail(step, &failure),
    }
    // In reverse: nobody is left calling a part that has gone.
    while let Some(mut part) = story.parts.pop() {
        part.stop();
    }
    story.report
}

/// A step that failed, and why.
type StepResult<T> = Result<T, (&'static str, Failure)>;

/// Names the step in which a failure happened.
trait In<T> {
    fn during(self, step: &'static str) -> StepResult<T>;
}

impl<T> In<T> for Result<T, Failure> {
    fn during(self, step: &'static str) -> StepResult<T> {
        self.map_err(|failure| (step, failure))
    }
}

impl Story<'_> {
    fn run(&mut self) -> StepResult<()> {
        let agent = self.start().during("start")?;
        self.done("start", &agent);
        self.pause();
        self.onboarding().during("onboarding")?;
        self.done("onboarding", &agent);
        self.pause();
        self.first_login(&agent)?;
        self.pause();
        self.sim().during("sim")?;
        self.pause();
        self.logout(&agent, "logout").during("logout")?;
        self.pause();
        self.second_login(&agent).during("second-login")?;
        self.pause();
        self.logout(&agent, "second-logout").during("second-logout")
    }

    fn say(&self, text: &str) {
        if self.telling.aloud {
            cli::line_to_stderr(text);
        }
        // Lines with figures belong to a step.
        if let Some(recording) = self.telling.recording
            && !text.starts_with(' ')
        {
            recording.say(text);
        }
    }

    /// Waits as long as a person who watches needs; no step's time has it in it.
    fn pause(&mut self) {
        if !self.telling.pace.is_zero() {
            let (_keep, never) = std::sync::mpsc::channel::<()>();
            let _ = never.recv_timeout(self.telling.pace);
            self.since = Instant::now();
        }
    }

    /// Ends a step: its figures are what changed since the last one.
    fn done(&mut self, name: &'static str, agent: &Agent) {
        let now = agent.counters().unwrap_or(self.before);
        self.done_at(name, now);
    }

    /// Ends a step with an event, whose figures are those of its moment: the agent goes on meanwhile.
    fn done_with(&mut self, name: &'static str, event: &Value) {
        self.done_at(name, Counters::of(&event["counters"]));
    }

    fn done_at(&mut self, name: &'static str, now: Counters) {
        self.record(
            name,
            now.apdus.saturating_sub(self.before.apdus),
            now.bytes.saturating_sub(self.before.bytes),
        );
        self.before = now;
    }

    fn record(&mut self, name: &'static str, apdus: u64, admin_bytes: u64) {
        let ms = self.since.elapsed().as_secs_f64() * 1000.0;
        let step = Step {
            name,
            ok: true,
            ms,
            apdus,
            admin_bytes,
        };
        self.say(&format!(
            "  {name}: {ms:.1} ms, {apdus} APDUs, {admin_bytes} bytes over the admin link"
        ));
        if let Some(recording) = self.telling.recording {
            recording.step(&step);
        }
        self.report.push(step);
        self.since = Instant::now();
    }

    fn fail(&mut self, name: &'static str, failure: &Failure) {
        // A part that died says more about the cause than who waited for it.
        let dead = self.parts.iter_mut().find_map(Part::ended);
        let cause = match dead {
            Some(dead) => format!("{failure}; {dead}"),
            None => failure.to_string(),
        };
        let step = Step {
            name,
            ok: false,
            ms: self.since.elapsed().as_secs_f64() * 1000.0,
            apdus: 0,
            admin_bytes: 0,
        };
        if let Some(recording) = self.telling.recording {
            recording.step(&step);
        }
        self.report.push(step);
        self.report.error = Some(format!("step {name} failed: {cause}"));
    }

    /// Processor time of all parts so far.
    fn cpu(&self) -> Duration {
        self.parts.iter().map(Part::cpu).sum()
    }

    fn count(&self, on: bool) -> Result<(), Failure> {
        if self.telling.counted {
            self.parts.iter().try_for_each(|part| part.count(on))?;
        }
        Ok(())
    }

    fn start(&mut self) -> Result<Agent, Failure> {
        self.say("Starting eUICC, SM-DP+, MSP, CMP and agent on 127.0.0.1");
        self.site.make_logs()?;
        books::enrol(self.site)?;
        books::connect(self.site)?;
        let hub = [("aid-hub", ["serve", "--config", "hub.toml"].as_slice())];
        let hub = hub.into_iter().filter(|_| self.site.has_hub());
        for (program, args) in hub.chain(PARTS) {
            let spawn = Spawn {
                program,
                suffix: "",
                args,
                dir: &self.site.dir,
                log: self.telling.log,
                trace: self.telling.trace,
                counted: self.telling.counted,
            };
            let extras = Extras {
                tap: self
                    .telling
                    .recording
                    .map(|recording| recording.tap(program)),
                ..Extras::default()
            };
            self.parts.push(Part::start_with(spawn, extras)?);
        }
        let agent = Agent::connect(&self.site.path("agent.sock"))?;
        agent.wait_for_link()?;
        if self.telling.screen {
            self.start_screen()?;
        }
        self.say(&format!(
            "The car with EID {} is online at its CMP",
            self.site.eid
        ));
        Ok(agent)
    }

    fn start_screen(&mut self) -> Result<(), Failure> {
        let config = "agent = \"agent.sock\"\nlisten = \"127.0.0.1:0\"\n";
        aid_cli::private::write(&self.site.path("hmi.toml"), config.as_bytes())?;
        let part = Part::start(Spawn {
            program: "aid-hmi",
            suffix: "",
            args: &["run", "--config", "hmi.toml"],
            dir: &self.site.dir,
            log: self.telling.log,
            trace: false,
            counted: false,
        })?;
        if let (Some(recording), Some(address)) = (self.telling.recording, part.address("hmi")) {
            recording.screen(address);
        }
        self.parts.push(part);
        Ok(())
    }

    fn onboarding(&self) -> Result<(), Failure> {
        self.say("The driver links the account at the CMP with the subscription at the MSP (AID.02 §4.1)");
        browser::onboard(self.site, &self.site.driver)?;
        books::wait_federated(self.site)
    }

    fn first_login(&mut self, agent: &Agent) -> StepResult<()> {
        let driver = &self.site.driver;
        self.say(&format!(
            "{} logs in to a car without an Operational Profile (AID.02 §4.3)",
            driver.name
        ));
        let mut events = agent.events().during("login")?;
        self.count(true).during("login")?;
        let cpu = self.cpu();
        self.since = Instant::now();
        self.report.provisioning.0 = SystemTime::now();
        agent.login(driver.name, &driver.pin).during("login")?;
        let accepted = events.wait(&["login_accepted"]).during("login")?;
        self.done_with("login", &accepted);
        self.say("The car requests an activation code; the MSP orders a profile for this EID");
        let code = events
            .wait(&["activation_code"])
            .during("activation-code")?;
        self.done_with("activation-code", &code);
        self.say("Common mutual authentication, download and installation (SGP.22 §3.1)");
        let installed = events.wait(&["installed"]).during("download")?;
        expect_iccid(&installed, &self.site.subject.iccid).during("download")?;
        self.done_with("download", &installed);
        let enabled = events.wait(&["enabled"]).during("enable")?;
        expect_iccid(&enabled, &self.site.subject.iccid).during("enable")?;
        self.report.provisioning.1 = SystemTime::now();
        self.report.cpu = self.cpu().saturating_sub(cpu);
        self.count(false).during("enable")?;
        self.done_with("enable", &enabled);
        self.say("CMP, MSP and SM-DP+ are told");
        agent.wait_until_told().during("status")?;
        books::wait_status(self.site, "enabled").during("status")?;
        books::wait_notified(self.site).during("status")?;
        self.done("status", agent);
        Ok(())
    }

    fn sim(&mut self) -> Result<(), Failure> {
        self.say("The profile is the SIM: IMSI and AUTHENTICATE through the USIM");
        let subject = &self.site.subject;
        let mut sim = sim::Sim::connect(self.site.ports.euicc)?;
        let imsi = sim.imsi()?;
        if imsi != subject.imsi {
            return Err(Failure::new(format!(
                "the card's IMSI is {imsi}, the profile's is {}",
                subject.imsi
            )));
        }
        sim.authenticate(subject)?;
        let apdus = sim.apdus();
        self.record("sim", apdus, 0);
        self.say(&format!(
            "  IMSI {imsi}; {} response confirmed by an independent computation",
            subject.aka.name()
        ));
        Ok(())
    }

    fn logout(&mut self, agent: &Agent, name: &'static str) -> Result<(), Failure> {
        self.say("The driver logs out; the profile is disabled");
        let mut events = agent.events()?;
        self.since = Instant::now();
        agent.logout()?;
        let disabled = events.wait(&["disabled"])?;
        expect_iccid(&disabled, &self.site.subject.iccid)?;
        agent.wait_until_told()?;
        books::wait_status(self.site, "disabled")?;
        sim::expect_no_sim(self.site.ports.euicc)?;
        self.done(name, agent);
        Ok(())
    }

    fn second_login(&mut self, agent: &Agent) -> Result<(), Failure> {
        self.say("A second login enables it at once, without any download");
        let driver = &self.site.driver;
        let mut events = agent.events()?;
        self.since = Instant::now();
        agent.login(driver.name, &driver.pin)?;
        let event = events.wait(&["enabled", "activation_code_requested"])?;
        if event["event"] != "enabled" {
            return Err(Failure::new(
                "the car asked for an activation code although the profile is on its card",
            ));
        }
        expect_iccid(&event, &self.site.subject.iccid)?;
        self.done_with("second-login", &event);
        Ok(())
    }
}

fn expect_iccid(event: &Value, iccid: &str) -> Result<(), Failure> {
    if event["iccid"] == iccid {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "event {event} is not about the profile with ICCID {iccid}"
        )))
    }
}
