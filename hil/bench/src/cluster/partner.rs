//! The load of MSPs: Update Subscription Info and Send Activation Code over mutual TLS, each call repeated at the next
//! instance until it is acknowledged.

use super::books::{Books, SentCode, Update};
use super::msp::Later;
use crate::figures::people::{Driver, first};
use crate::site::Site;
use aid_aid1::body::{
    Iccids, ProfileType, SendActivationCode, SubscriptionType, UpdateSubscriptionInfo,
};
use aid_aid1::client::{Call, CmpClient, Settings};
use aid_aid1::deviation::Deviations;
use aid_aid1::headers::Credentials;
use aid_aid1::operation::{CmpOperation, Operation};
use aid_cli::cli::Failure;
use aid_cli::tls;
use aid_id::MspToken;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Pause between two calls of one connection, so that the machine has time for the rest.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause before a call is repeated.
const AGAIN: Duration = Duration::from_millis(50);
/// How long an MSP waits for an answer. Commits wait for a standby that is gone.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An MSP as a client of all instances.
pub(super) struct Partner {
    clients: Vec<CmpClient>,
    books: Arc<Books>,
}

impl Partner {
    /// The MSP of the set-up, for these AID1 ports.
    pub(super) fn new(site: &Site, ports: &[u16], books: &Arc<Books>) -> Result<Self, Failure> {
        let config = aid_cmp::config::read(&site.path("cmp.toml"))?;
        let msp = first(&config)?;
        let none = || Failure::new("the set-up's MSP has no api_key_in");
        let key = msp.api_key_in.iter().next().ok_or_else(none)?;
        let pki = |name: &str| site.path("pki/aid").join(name);
        let (cert, key_file) = (pki("msp.pem"), pki("msp.key"));
        let tls = tls::client_config(&pki("ca.pem"), Some((&cert, &key_file)))?;
        let client = |port: &u16| {
            CmpClient::new(Settings {
                base_url: format!("https://localhost:{port}"),
                tls: (*tls).clone(),
                own_id: msp.client_id.clone(),
                target_id: msp.own_client_id.clone(),
                credentials: Credentials::api_key(key)?,
                timeout: TIMEOUT,
                deviations: Deviations::default(),
                iccids: Iccids::Standard,
            })
            .map_err(|e| Failure::new(e.to_string()))
        };
        Ok(Self {
            clients: ports.iter().map(client).collect::<Result<_, Failure>>()?,
            books: Arc::clone(books),
        })
    }

    /// Makes a call, at one instance after the other; false where it was refused for good.
    async fn until_acknowledged<O>(
        &self,
        turn: &mut usize,
        call: Call,
        token: MspToken,
        body: &O,
    ) -> bool
    where
        O: Operation<Api = CmpOperation, Variable = MspToken> + Sync,
    {
        loop {
            let Some(client) = self.clients.get(*turn % self.clients.len()) else {
                return false;
            };
            match client.call(call, &token, body).await {
                Ok(_) => return true,
                Err(error) if error.is_transient() => {
                    *turn += 1;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    self.books.refused(error.to_string());
                    return false;
                }
            }
        }
    }

    /// Updates these subscriptions in turn until the load ends.
    pub(super) async fn update(self: Arc<Self>, drivers: Vec<Driver>, mut turn: usize) {
        for n in 0_u64.. {
            for driver in &drivers {
                if self.books.is_over() {
                    return;
                }
                let (call, group) = (Call::new(), format!("group-{n}"));
                let body = UpdateSubscriptionInfo {
                    phone: driver.phone.clone(),
                    subscription_type: SubscriptionType::Private,
                    customer_group: Some(group.clone()),
                };
                let token = driver.token;
                let begin = Instant::now();
                if self.until_acknowledged(&mut turn, call, token, &body).await {
                    let request_id = call.request_id;
                    let update = Update {
                        request_id,
                        token,
                        group,
                    };
                    self.books.update(update, begin);
                }
                self.books.pause(PAUSE).await;
            }
        }
    }

    /// Sends the codes that the MSP said would come later, to the end of the run.
    pub(super) async fn send_later(self: Arc<Self>, mut later: mpsc::UnboundedReceiver<Later>) {
        let mut turn = 0;
        while let Some(later) = later.recv().await {
            let call = Call::within(later.correlation);
            let body = SendActivationCode::Code {
                request_id: later.request,
                activation_code: later.code,
                profile_type: ProfileType::Personal,
                iccid: later.iccid,
                swapped_iccid: None,
            };
            let begin = Instant::now();
            let token = later.token;
            if self.until_acknowledged(&mut turn, call, token, &body).await {
                let request_id = call.request_id;
                self.books.sent_code(SentCode { request_id }, begin);
            }
            turn += 1;
        }
    }
}
