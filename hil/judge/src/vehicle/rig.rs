//! The parties around a vehicle under test: a CMP, an SM-DP+, users, and whoever switches power and ignition.

use super::book::{Book, User, no_code};
use super::gateway;
use super::observe::prepared;
use super::shared::{Seen, Shared};
use super::target::Target;
use super::user::Deed;
use crate::aid1::{Programs, folder};
use crate::evidence::Evidence;
use crate::lpa::certificates::{read_pki, write_tls};
use crate::lpa::events::Events;
use crate::lpa::server::{Script, Server, router};
use crate::rsp::dp::Dp;
use crate::rsp::findings::Checked;
use crate::rsp::keys::Folder;
use crate::rsp::profile::Profile;
use crate::rsp::seeded::Seeded;
use crate::subject::Setting;
use crate::test::Finding;
use aid_cli::cli::Failure;
use aid_cli::{signal, tls};
use aid_id::{AccountRef, Eid, Iccid, Id, Secret};
use aid_rsp::cert::Certificate;
use aid_wire::{CodeOutcome, OrderKind, OrderOutcome, Status, Up};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Links that a vehicle loses until the judge starts it anew, where it can: its pauses between tries grow.
pub(super) const LOST_LINKS: usize = 2;
/// Tests in a row for which the judge waits for a vehicle that does not come.
const MOST_ABSENT: usize = 3;
/// Longest wait for what the judge puts back after a test.
const TIDY: Duration = Duration::from_secs(10);

/// A user of the judge's CMP, and their profile.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) user: String,
    pub(super) pin: String,
    pub(super) account: AccountRef,
    pub(super) iccid: Iccid,
    profile: Profile,
}

/// A vehicle under test, and the parties around it.
pub(crate) struct Rig {
    pub(super) target: Target,
    setting: Setting,
    pub(super) folder: PathBuf,
    _files: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    pub(super) shared: Arc<Shared>,
    cmp_tls: Arc<rustls::ServerConfig>,
    smdp_tls: Arc<rustls::ServerConfig>,
    pub(super) smdp: Arc<Mutex<Server>>,
    /// `HOST:PORT` of the judge's SM-DP+, as codes name it.
    address: String,
    pub(super) events: Events,
    pub(super) programs: Programs,
    pub(super) commands: Vec<JoinHandle<Option<String>>>,
    /// Whether the judge's servers and the programs run; the reason where they don't. None before the first test.
    begun: Option<Result<(), String>>,
    /// Tests in a row to which the vehicle did not come.
    absent: usize,
    pub(super) is_powered: bool,
    pub(super) lost_links: usize,
    serial: u32,
    rng: Seeded,
    home: Option<Person>,
    /// Keeps the servers.
    _stop: signal::Trigger,
    stop: signal::Stop,
}

fn mistake(text: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("[vehicle]: {text}"))
}

impl Rig {
    /// The vehicle of a target file. Nothing is started yet.
    ///
    /// # Errors
    /// The target file names an EID or keys that can't be used.
    pub(super) fn at(mut target: Target, setting: &Setting) -> Result<Self, Failure> {
        let eid: Eid = target
            .eid
            .parse()
            .map_err(|e| mistake(format!("eid: {e}")))?;
        if !(1..=600).contains(&target.patience) || !(50..=60_000).contains(&target.quiet_ms) {
            return Err(mistake(
                "patience must be 1 to 600 seconds, quiet_ms 50 to 60000 milliseconds",
            ));
        }
        target.user.api = target.user.api.map(|api| setting.beside(&api));
        let [cert, key, ca] =
            [&target.cert, &target.key, &target.client_ca].map(|file| setting.beside(file));
        let cmp_tls = tls::server_config(&cert, &key, Some(&ca))?;
        let files = tempfile::tempdir()
            .map_err(|e| Failure::new(format!("no temporary folder: {e}; set TMPDIR")))?;
        let place = Folder::new(&setting.beside(&target.smdp.pki), target.smdp.curve);
        let (pki, ..) = read_pki(&place).map_err(mistake)?;
        let (cert, key) = write_tls(&files, "tls", &pki.dp_tls)?;
        let smdp_tls = tls::server_config(&cert, &key, None)?;
        let ci = Certificate::from_der(&pki.ci.certificate).map_err(mistake)?;
        let dp = Dp::new(pki.dp_auth, pki.dp_pb, &ci).map_err(mistake)?;
        let mut rng = Seeded::new(setting.seed);
        let Some((_, port)) = target.smdp.listen.rsplit_once(':') else {
            return Err(mistake("smdp.listen is not HOST:PORT"));
        };
        let address = match port {
            "443" => target.smdp.host.clone(),
            port => format!("{}:{port}", target.smdp.host),
        };
        let first = Profile::new(&mut rng, 0, &address).map_err(mistake)?;
        let events = Events::default();
        let played = Server::new(
            dp,
            Script::default(),
            first,
            eid.to_bcd(),
            Seeded::new(setting.seed ^ 1),
            events.clone(),
        );
        let book = Book::new(setting.random(), no_code());
        let (trigger, stop) = signal::manual();
        Ok(Self {
            folder: folder(setting),
            setting: setting.clone(),
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?,
            shared: Shared::new(book, eid, setting.began),
            cmp_tls,
            smdp_tls,
            smdp: Arc::new(Mutex::new(played)),
            address,
            events,
            programs: Programs::default(),
            commands: Vec::new(),
            begun: None,
            absent: 0,
            is_powered: true,
            lost_links: 0,
            serial: 0,
            rng,
            home: None,
            _files: files,
            _stop: trigger,
            stop,
            target,
        })
    }

    pub(super) const fn patience(&self) -> Duration {
        Duration::from_secs(self.target.patience)
    }

    pub(super) const fn quiet(&self) -> Duration {
        Duration::from_millis(self.target.quiet_ms)
    }

    /// The judge's SM-DP+.
    pub(super) fn smdp(&self) -> MutexGuard<'_, Server> {
        self.smdp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the SM-DP+ does this.
    pub(super) fn script(&self, script: Script) {
        let variant = self.shared.state().variant;
        self.smdp().script = variant.map_or(script.clone(), |variant| variant.script(script));
    }

    /// Opens the judge's servers, and starts the programs of the target file: once, what failed is not tried again.
    fn begin(&mut self) -> Result<(), String> {
        if let Some(begun) = &self.begun {
            return begun.clone();
        }
        let begun = self.open().map_err(|failure| failure.text);
        self.begun.insert(begun).clone()
    }

    fn open(&mut self) -> Result<(), Failure> {
        let gateway = self.runtime.block_on(gateway::bind(&self.target.listen))?;
        let (tls, shared) = (Arc::clone(&self.cmp_tls), Arc::clone(&self.shared));
        self.runtime.spawn(gateway::serve(gateway, tls, shared));
        let smdp = aid_serve::http::bind(&self.target.smdp.listen);
        let smdp = self.runtime.block_on(smdp)?;
        let router = router(Arc::clone(&self.smdp));
        let (tls, stop) = (Some(Arc::clone(&self.smdp_tls)), self.stop.clone());
        self.runtime
            .spawn(aid_serve::http::serve(smdp, tls, router, stop));
        self.programs = Programs::start(&self.target.start, &self.setting)?;
        Ok(())
    }

    /// Runs one test with a vehicle that is connected and has nobody logged in, and hands over what was seen.
    pub(super) fn case(
        &mut self,
        evidence: &mut Evidence,
        run: fn(&mut Self) -> Checked,
    ) -> Checked {
        self.any_case(evidence, |rig| rig.rest().and_then(|()| run(rig)))
    }

    /// Runs one test, whatever vehicle is there, and hands over what was seen.
    pub(super) fn any_case(
        &mut self,
        evidence: &mut Evidence,
        run: impl FnOnce(&mut Self) -> Checked,
    ) -> Checked {
        self.begin().map_err(Finding::Hidden)?;
        let result = run(self);
        let result = match (result, self.complaints().into_iter().next()) {
            // A command that failed explains what did not come.
            (Err(Finding::Broken { expected, seen }), Some(why)) => Err(Finding::Broken {
                expected,
                seen: format!("{seen}; {why}"),
            }),
            (result, _) => result,
        };
        self.tidy();
        self.shared.drain(evidence);
        self.events.drain(evidence);
        result
    }

    /// The state that every test begins with.
    fn rest(&mut self) -> Checked {
        self.obey();
        // A vehicle that stays away is looked for a few times, and then it has to be there when a test begins.
        let is_given_up = self.absent >= MOST_ABSENT;
        let restarts = self.lost_links >= LOST_LINKS || self.absent > 0;
        if restarts && !is_given_up && self.has_power_switch() {
            self.cut_power()?;
        }
        self.restore_power()?;
        let patience = match is_given_up {
            true => self.quiet(),
            false => self.patience(),
        };
        let is_there = self.is_there(patience);
        self.absent = match is_there {
            Ok(()) => 0,
            Err(_) => self.absent + 1,
        };
        is_there
    }

    /// Waits for the vehicle's link, and until whatever an earlier test left to be said is said and acknowledged.
    fn is_there(&mut self, patience: Duration) -> Checked {
        let linked = self.shared.until(patience, |state| {
            state.is_linked() && state.book.revision > 0
        });
        if !linked {
            return Err(Finding::Hidden(format!(
                "the vehicle did not connect to {} and say Hello within {} ms{}",
                self.target.listen,
                patience.as_millis(),
                self.last_trouble()
            )));
        }
        let stranger = self.person()?;
        let kind = self.deletion(&stranger.iccid, stranger.account);
        let id = self.shared.order(kind);
        match self.result_within(id, patience) {
            Some(_) => Ok(()),
            None => Err(Finding::Hidden(format!(
                "the vehicle is connected and did not answer an order about a profile that nobody has within {} ms{}",
                patience.as_millis(),
                self.last_trouble()
            ))),
        }
    }

    fn last_trouble(&self) -> String {
        let bad = self.shared.since(0).into_iter().rev();
        let bad = bad.filter_map(|seen| match seen {
            Seen::Bad(why) | Seen::Lost(why) => Some(why),
            _ => None,
        });
        bad.take(1).map(|why| format!("; last: {why}")).collect()
    }

    /// From now on the judge's parties do everything right.
    pub(super) fn obey(&self) {
        let mut state = self.shared.state();
        state.refusing = false;
        state.silent = false;
        state.at = None;
        state.book.unanswered.clear();
        state.book.next_code = no_code();
        state.kept.clear();
        drop(state);
        self.smdp().script = Script::default();
    }

    /// Puts back what a test changed, as far as the vehicle lets itself.
    fn tidy(&mut self) {
        self.obey();
        // What can't be put back shows in the next test, which says so.
        let _ = self.restore_power();
        let shared = Arc::clone(&self.shared);
        let patience = match self.absent {
            0 => TIDY,
            _ => Duration::ZERO,
        };
        if !shared.until(patience, super::shared::State::is_linked) {
            return;
        }
        let held = shared.state().variant.take();
        shared.close_requests();
        let (logged_in, home) = {
            let state = shared.state();
            (
                state.book.logged_in,
                self.home.as_ref().map(|h| h.iccid.clone()),
            )
        };
        if let Some(account) = logged_in {
            let id = shared.order(OrderKind::Logout { account });
            self.result_within(id, TIDY);
            shared.state().book.logged_in = None;
        }
        let left: Vec<(Iccid, AccountRef)> = {
            let installed = &shared.state().book.installed;
            let others = installed
                .iter()
                .filter(|(iccid, _)| Some(*iccid) != home.as_ref());
            others.map(|(i, a)| (i.clone(), *a)).collect()
        };
        for (iccid, account) in left {
            let kind = self.deletion(&iccid, account);
            let id = shared.order(kind);
            self.result_within(id, TIDY);
            shared.state().book.installed.remove(&iccid);
        }
        shared.state().variant = held;
    }

    fn result_within(&self, order_id: Id, patience: Duration) -> Option<OrderOutcome> {
        let found = self.shared.wait(0, patience, |seen| match seen {
            Seen::Up(envelope) => match &envelope.body {
                Up::OrderResult {
                    order_id: id,
                    outcome,
                } if *id == order_id => Some(*outcome),
                _ => None,
            },
            _ => None,
        });
        if found.is_none() {
            self.shared.state().book.withdraw(order_id);
        }
        found
    }

    /// The order to delete a profile, as the vehicle's revision has it.
    pub(super) fn deletion(&self, iccid: &Iccid, account: AccountRef) -> OrderKind {
        let iccid = iccid.clone();
        if self.shared.state().book.revision >= aid_wire::ACCOUNT_REVISION {
            OrderKind::DeleteOf { account, iccid }
        } else {
            OrderKind::Delete { iccid }
        }
    }

    /// A new user, whose profile is at the SM-DP+ and not in the vehicle.
    pub(super) fn person(&mut self) -> Checked<Person> {
        self.serial += 1;
        let profile = Profile::new(&mut self.rng, self.serial, &self.address);
        let profile = profile.map_err(Finding::Hidden)?;
        let iccid = Iccid::from_bcd(&profile.iccid).map_err(|e| Finding::Hidden(e.to_string()))?;
        let account = AccountRef(self.rng.bytes());
        let user = format!("judge-{}", self.serial);
        let pin = format!("{:06}", self.rng.below(1_000_000));
        self.shared.learn(&pin);
        self.shared.state().book.add_user(
            &user,
            User {
                pin: pin.clone(),
                account,
            },
        );
        Ok(Person {
            user,
            pin,
            account,
            iccid,
            profile,
        })
    }

    /// The activation code of this person's profile; the SM-DP+ has it ready.
    pub(super) fn code(&self, person: &Person) -> CodeOutcome {
        self.smdp().profile = person.profile.clone();
        CodeOutcome::Code {
            code: Secret::new(format!(
                "1${}${}",
                self.address,
                person.user.to_ascii_uppercase()
            )),
            iccid: Some(person.iccid.clone()),
        }
    }

    /// The user logs in.
    pub(super) fn login(&mut self, person: &Person) -> Checked {
        self.user(Deed::Login {
            user: &person.user,
            pin: &person.pin,
        })
    }

    /// The user logs in, gets their profile, and it is enabled.
    pub(super) fn provision(&mut self, person: &Person) -> Checked {
        let code = self.code(person);
        let mark = self.shared.mark();
        self.shared.state().book.next_code = code;
        self.login(person)?;
        self.reported(mark, &person.iccid, Status::Enabled)?;
        self.shared.state().book.next_code = no_code();
        Ok(())
    }

    /// A user who has a profile in the vehicle already; nobody is logged in.
    pub(super) fn home(&mut self) -> Checked<Person> {
        if let Some(home) = &self.home
            && self.shared.state().book.installed.contains_key(&home.iccid)
        {
            return Ok(home.clone());
        }
        // What is only prepared here is not what the test looks at.
        let held = self.shared.state().variant.take();
        let made = prepared(self.prepare());
        self.shared.state().variant = held;
        Ok(self.home.insert(made?).clone())
    }

    fn prepare(&mut self) -> Checked<Person> {
        let person = self.person()?;
        self.provision(&person)?;
        let mark = self.shared.mark();
        self.user(Deed::Logout)?;
        self.reported(mark, &person.iccid, Status::Disabled)?;
        Ok(person)
    }

    /// The home user is logged in, and their profile is enabled.
    pub(super) fn home_enabled(&mut self) -> Checked<Person> {
        let home = self.home()?;
        let mark = self.shared.mark();
        self.login(&home)?;
        prepared(self.reported(mark, &home.iccid, Status::Enabled))?;
        Ok(home)
    }
}
