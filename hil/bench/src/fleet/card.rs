//! A car's card in this process, with its LPA: the card is the software eUICC, the LPA the agent's, and ES9+ goes over
//! real connections, which the cars share.

use aid_agent::LpaEuicc;
use aid_agent::card::{Counters, Euicc};
use aid_agent_core::{CardProfile, EuiccError, EuiccOp};
use aid_cli::cli::Failure;
use aid_euicc::card::{Card, Options};
use aid_euicc::nvm::Memory;
use aid_hostile::world::World;
use aid_id::Eid;
use aid_lpa::{Apdu, Bearer, Http, HttpAnswer, HttpError, HttpsClient, Lpa, Meter, TransportError};
use aid_rsp::crypto::{Crypto, SoftwareCrypto};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::subscriber::NoSubscriber;

/// A card behind the APDU port.
struct Inside(Card<Memory>);

impl Apdu for Inside {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        Ok(self.0.transmit(command))
    }

    fn reset(&mut self) -> Result<Vec<u8>, TransportError> {
        Ok(self.0.reset())
    }
}

/// Clients for ES9+, each with connections that it keeps; a call takes a free one.
#[derive(Clone)]
pub(super) struct Clients(Arc<Mutex<Vec<HttpsClient>>>);

impl Clients {
    /// `count` of them, which trust the set-up's certificate issuer.
    pub(super) fn new(ci: &Path, count: usize, meter: &Arc<Counters>) -> Result<Self, Failure> {
        let bearer = || Bearer {
            interface: None,
            source: None,
        };
        let client = |_| {
            let meter: Arc<dyn Meter> = Arc::<Counters>::clone(meter);
            HttpsClient::new(&[ci.to_owned()], bearer(), true, meter)
        };
        let clients: Result<Vec<_>, _> = (0..count).map(client).collect();
        Ok(Self(Arc::new(Mutex::new(clients?))))
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<HttpsClient>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clients {
    fn with(
        &mut self,
        server: &str,
        call: impl FnOnce(&mut HttpsClient) -> Result<HttpAnswer, HttpError>,
    ) -> Result<HttpAnswer, HttpError> {
        let client = self.free().pop();
        // As many card operations run at once as there are clients.
        let Some(mut client) = client else {
            return Err(HttpError::Unreachable {
                server: server.to_owned(),
                what: "all connections of the fleet are in use".to_owned(),
            });
        };
        let answer = call(&mut client);
        self.free().push(client);
        answer
    }
}

impl Http for Clients {
    fn post(&mut self, server: &str, path: &str, body: &[u8]) -> Result<HttpAnswer, HttpError> {
        self.with(server, |client| client.post(server, path, body))
    }

    fn get(&mut self, url: &str, max: usize) -> Result<HttpAnswer, HttpError> {
        self.with(url, |client| client.get(url, max))
    }
}

/// A car's card and its LPA.
pub(super) struct CarCard(LpaEuicc<Inside, Clients>);

impl CarCard {
    /// A new card with this EID, whose certificate is made under the world's EUM.
    pub(super) fn new(
        world: &World,
        eid: &Eid,
        number: u64,
        clients: &Clients,
        meter: &Arc<Counters>,
    ) -> Self {
        // An instance of its own: its counters.
        let crypto: Arc<dyn Crypto> = Arc::new(SoftwareCrypto::new());
        let world = world.with_eid(eid.to_bcd(), crypto, number + 100);
        let card = world.card(Memory::new(), number, Options::default());
        let meter: Arc<dyn Meter> = Arc::<Counters>::clone(meter);
        let lpa = Lpa::new(aid_lpa::Card::new(Inside(card), meter), clients.clone());
        Self(LpaEuicc::new(lpa))
    }

    /// Runs an operation and reads the list of profiles, as the agent's card thread does.
    pub(super) fn run(
        &mut self,
        what: &EuiccOp,
    ) -> (Result<(), EuiccError>, Option<Vec<CardProfile>>) {
        // What one LPA logs for one car is a flood for a fleet.
        tracing::subscriber::with_default(NoSubscriber::default(), || {
            let result = match what {
                EuiccOp::List => Ok(()),
                what => self.0.execute(what, &mut |_| ()),
            };
            match self.0.list() {
                Ok(list) => (result, Some(list)),
                Err(error) => (result.and(Err(error)), None),
            }
        })
    }
}
