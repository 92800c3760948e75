//! What one cryptographic operation costs, measured with the code and the certificates of the run.

use super::count::Counts;
use crate::site::Site;
use aid_cli::cli::Failure;
use aid_cli::tls;
use aid_rsp::crypto::{Crypto, Curve, KeyPair, Signature, SoftwareCrypto};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use serde::Serialize;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// What is counted as cryptography.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Operation {
    /// An ECDSA signature.
    Sign,
    /// An ECDSA verification.
    Verify,
    /// A key agreement.
    Ecdh,
    /// A new key pair.
    Keygen,
    /// A TLS handshake with a client certificate, both ends.
    MutualTls,
    /// A TLS handshake without, both ends.
    Tls,
}

/// Cost per operation, both sides of it where there are two; microseconds or instructions.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Costs {
    pub(crate) sign: f64,
    pub(crate) verify: f64,
    pub(crate) ecdh: f64,
    pub(crate) keygen: f64,
    pub(crate) mutual_tls: f64,
    pub(crate) tls: f64,
}

/// Rounds per measurement; the fastest third counts, so that a disturbance does not.
const ROUNDS: usize = 45;

fn measure(mut operation: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        operation()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let third = &times[..ROUNDS / 3];
    Ok(third.iter().sum::<f64>() / third.len() as f64)
}

/// Everything that the operations need, so that nothing else is measured with them.
pub(crate) struct Workshop {
    crypto: SoftwareCrypto,
    pair: KeyPair,
    signature: Signature,
    mutual: (Arc<ClientConfig>, Arc<ServerConfig>),
    plain: (Arc<ClientConfig>, Arc<ServerConfig>),
}

/// What is signed: about as long as what RSP signs.
const MESSAGE: [u8; 300] = [7; 300];

impl Workshop {
    /// With the keys and certificates of the set-up in this folder.
    pub(crate) fn new(dir: &Path) -> Result<Self, Failure> {
        let crypto = SoftwareCrypto::new();
        let pair = crypto.generate(Curve::NistP256, &mut UnwrapErr(SysRng));
        let signature = crypto.sign(&pair.private, &[&MESSAGE])?;
        let aid = |name: &str| dir.join("pki/aid").join(name);
        let rsp = |name: &str| dir.join("pki/rsp").join(name);
        let ca = aid("ca.pem");
        let own = (aid("msp.pem"), aid("msp.key"));
        let (cert, key) = (aid("smdp-server.pem"), aid("smdp-server.key"));
        let mutual = (
            tls::client_config(&ca, Some((&own.0, &own.1)))?,
            tls::server_config(&cert, &key, Some(&aid("partners-ca.pem")))?,
        );
        let plain = (
            tls::client_config(&rsp("CertificateIssuer/CERT_CI_ECDSA_NIST.der"), None)?,
            tls::server_config(
                &rsp("DPtls/CERT_S_SM_DP_TLS_NIST.pem"),
                &rsp("DPtls/SK_S_SM_DP_TLS_NIST.pem"),
                None,
            )?,
        );
        Ok(Self {
            crypto,
            pair,
            signature,
            mutual,
            plain,
        })
    }

    /// Does it once.
    pub(crate) fn once(&self, operation: Operation) -> Result<(), Failure> {
        let (crypto, pair) = (&self.crypto, &self.pair);
        match operation {
            Operation::Sign => drop(crypto.sign(&pair.private, &[&MESSAGE])?),
            Operation::Verify => crypto.verify(&pair.public, &[&MESSAGE], &self.signature)?,
            Operation::Ecdh => drop(crypto.ecdh(&pair.private, &pair.public)?),
            Operation::Keygen => drop(crypto.generate(Curve::NistP256, &mut UnwrapErr(SysRng))),
            Operation::MutualTls => handshake(&self.mutual.0, &self.mutual.1)?,
            Operation::Tls => handshake(&self.plain.0, &self.plain.1)?,
        }
        Ok(())
    }
}

impl Costs {
    /// Asks for each operation's cost.
    pub(crate) fn collect(
        mut cost: impl FnMut(Operation) -> Result<f64, Failure>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            sign: cost(Operation::Sign)?,
            verify: cost(Operation::Verify)?,
            ecdh: cost(Operation::Ecdh)?,
            keygen: cost(Operation::Keygen)?,
            mutual_tls: cost(Operation::MutualTls)?,
            tls: cost(Operation::Tls)?,
        })
    }

    /// Measures everything, in microseconds.
    pub(crate) fn measure(site: &Site) -> Result<Self, Failure> {
        let workshop = Workshop::new(&site.dir)?;
        Self::collect(|operation| measure(|| workshop.once(operation)))
    }

    /// The cost of these operations, in the unit of this.
    pub(crate) fn of(&self, counts: &Counts) -> f64 {
        let times = |count: u64, cost: f64| count as f64 * cost;
        times(counts.sign, self.sign)
            + times(counts.verify, self.verify)
            + times(counts.ecdh, self.ecdh)
            + times(counts.keygen, self.keygen)
            + times(counts.mutual_tls, self.mutual_tls)
            + times(counts.tls, self.tls)
    }
}

/// Microseconds that appending a page to a file takes until it is on disk, where the state is.
pub(crate) fn sync(site: &Site) -> Result<f64, Failure> {
    let mut options = aid_cli::private::options();
    let options = options.write(true).create(true).truncate(true);
    let mut file = options.open(site.path("state/sync"))?;
    measure(|| {
        file.write_all(&[0xA5; 4096])?;
        Ok(file.sync_data()?)
    })
}

/// A whole handshake in memory: both ends' work, no socket.
fn handshake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Result<(), Failure> {
    // Every connection of the run is a full handshake, so none may be resumed here.
    let mut client = (**client).clone();
    client.resumption = rustls::client::Resumption::disabled();
    let name = ServerName::try_from("localhost")?;
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        wire.clear();
        while client.wants_write() {
            client.write_tls(&mut wire)?;
        }
        let mut input = &wire[..];
        while !input.is_empty() {
            server.read_tls(&mut input)?;
            server.process_new_packets()?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire)?;
        }
        let mut input = &wire[..];
        while !input.is_empty() {
            client.read_tls(&mut input)?;
            client.process_new_packets()?;
        }
    }
    Ok(())
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0}, {:.0}, {:.0}, {:.0}, {:.0} and {:.0} µs each",
            self.sign, self.verify, self.ecdh, self.keygen, self.mutual_tls, self.tls
        )
    }
}
