//! A card in memory behind an APDU port, proxies that break it, and a minted PKI.
#![allow(dead_code, reason = "each test program uses a part")]

use aid_euicc::card::{Card, Chain, Credentials, Identity, Options};
use aid_euicc::nvm::Memory;
use aid_judge::{Setting, Subject, Wanted, run};
use aid_port::{Apdu, TransportError};
use aid_report::{Case, Verdict};
use aid_rsp::cert::Certificate;
use aid_rsp::crypto::{Crypto, SoftwareCrypto};
use aid_rsp::pki::{DAY, MintParams, RspPki};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

pub(crate) const EID: [u8; 16] = [
    0x89, 0x04, 0x90, 0x32, 0x12, 0x34, 0x51, 0x23, 0x45, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x35,
];

/// Mints a PKI for localhost, valid now.
pub(crate) fn mint() -> RspPki {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let params = MintParams::loopback(&EID, now - DAY, now + 365 * DAY);
    RspPki::mint(&params, &SoftwareCrypto::new(), &mut UnwrapErr(SysRng)).unwrap()
}

/// A software card behind an APDU port. Clones are the same card.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Mutex<Card<Memory>>>);

impl Sim {
    pub(crate) fn new(pki: &RspPki) -> Self {
        let certificate = |der: &[u8]| Certificate::from_der(der).unwrap();
        let crypto: Arc<dyn Crypto> = Arc::new(SoftwareCrypto::new());
        let chain = Chain {
            euicc: certificate(&pki.euicc.certificate),
            eum: certificate(&pki.eum.certificate),
            key: pki.euicc.key.private.clone(),
        };
        let parts = Credentials {
            chains: vec![chain],
            ci: vec![certificate(&pki.ci.certificate)],
        };
        let identity = Arc::new(Identity::new(EID, parts, &*crypto).unwrap());
        let rng = Box::new(UnwrapErr(SysRng));
        let card = Card::new(Memory::new(), crypto, rng, identity, Options::default());
        Self(Arc::new(Mutex::new(card.unwrap())))
    }

    fn send(&self, command: &[u8]) -> Vec<u8> {
        self.0.lock().unwrap().transmit(command)
    }

    fn restart(&self) -> Vec<u8> {
        self.0.lock().unwrap().reset()
    }

    /// A function of ES10 on its channel, with all of its answer.
    fn function(&self, command: &[u8]) -> Vec<u8> {
        let mut data = Vec::new();
        let mut next = command.to_vec();
        loop {
            let mut answer = self.send(&next);
            let status = answer.split_off(answer.len() - 2);
            data.extend_from_slice(&answer);
            if status[0] != 0x61 {
                data.extend_from_slice(&status);
                return data;
            }
            next = vec![command[0] & 0x7F, 0xC0, 0, 0, status[1]];
        }
    }
}

impl Apdu for Sim {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        Ok(self.send(command))
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        Ok(self.restart())
    }
}

/// What a breaking proxy may do with a whole request of ES10: ask the card, or another question, and change the answer.
pub(crate) type Twist = Box<dyn FnMut(&[u8], &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Vec<u8> + Send>;

/// A card with a proxy before it that breaks it.
pub(crate) struct Broken {
    sim: Sim,
    twist: Twist,
    chain: Vec<u8>,
    /// What is asked of the card after each reset, on a channel of its own.
    after_reset: Option<fn() -> Vec<u8>>,
}

impl Broken {
    pub(crate) fn new(sim: Sim, twist: Twist) -> Self {
        Self {
            sim,
            twist,
            chain: Vec::new(),
            after_reset: None,
        }
    }

    pub(crate) fn after_reset(mut self, request: fn() -> Vec<u8>) -> Self {
        self.after_reset = Some(request);
        self
    }
}

/// Sends a request of ES10 to the card on the channel of `class`; data and status.
pub(crate) fn ask(sim: &Sim, class: u8, request: &[u8]) -> Vec<u8> {
    let blocks = request.chunks(255).count();
    let mut answer = Vec::new();
    for (n, block) in request.chunks(255).enumerate() {
        let p1 = if n + 1 == blocks { 0x91 } else { 0x11 };
        let mut apdu = vec![class, 0xE2, p1, n as u8, block.len() as u8];
        apdu.extend_from_slice(block);
        apdu.push(0);
        answer = sim.function(&apdu);
    }
    answer
}

impl Apdu for Broken {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let [class, 0xE2, p1, p2, length, ..] = *command else {
            return self.sim.transmit(command);
        };
        if p2 == 0 {
            self.chain.clear();
        }
        self.chain
            .extend_from_slice(&command[5..5 + usize::from(length)]);
        if p1 & 0x80 == 0 {
            return Ok(vec![0x90, 0x00]);
        }
        let request = std::mem::take(&mut self.chain);
        let sim = &self.sim;
        Ok((self.twist)(&request, &mut |request| {
            ask(sim, class, request)
        }))
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        let atr = self.sim.restart();
        if let Some(request) = self.after_reset {
            self.sim.send(&[0, 0x70, 0, 0, 1]);
            let mut select = vec![1, 0xA4, 4, 0, 16];
            select.extend_from_slice(&aid_lpa::ISDR_AID);
            select.push(0);
            self.sim.send(&select);
            ask(&self.sim, 0x81, &request());
            self.sim.restart();
        }
        Ok(atr)
    }
}

/// The setting of a run whose target file is in this folder.
pub(crate) fn setting(folder: &Path) -> Setting {
    Setting {
        file: folder.join("target.toml"),
        seed: 7,
        began: Instant::now(),
        dry_run: false,
    }
}

/// Runs the tests that patterns select.
pub(crate) fn judge<S: Subject>(subject: &mut S, patterns: &[&str]) -> Vec<Case> {
    let wanted = Wanted {
        patterns: patterns.iter().map(|&p| p.to_owned()).collect(),
        ..Wanted::default()
    };
    let repeat = |name: &str| format!("repeat {name}");
    run(
        &S::tests(),
        subject,
        &wanted,
        Instant::now(),
        &repeat,
        &mut |_| {},
    )
}

/// One line for each case that did not pass.
pub(crate) fn not_passed(cases: &[Case]) -> Vec<String> {
    let odd = cases.iter().filter(|c| c.verdict != Verdict::Pass);
    odd.map(|c| {
        let failure = c.failure.as_ref();
        let why = failure.map(|f| format!("expected {}; seen {}", f.expected, f.seen));
        let why = why.or(c.reason.clone()).unwrap_or_default();
        format!("{} {}: {why}", c.verdict, c.name)
    })
    .collect()
}

/// Names of the cases with this verdict.
pub(crate) fn named(cases: &[Case], verdict: Verdict) -> Vec<&str> {
    let found = cases.iter().filter(|c| c.verdict == verdict);
    found.map(|c| c.name.as_str()).collect()
}
