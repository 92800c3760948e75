//! A CMP on real sockets with keys of its own, an MSP that answers as a test tells it, and cars.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test; not every test uses everything"
)]

pub mod book;
pub mod car;
pub mod msp;
pub mod pki;
pub mod postgres;
pub mod process;

use aid_aid1::account_id;
use aid_aid1::client::{CmpClient, Settings};
use aid_aid1::headers::Credentials;
use aid_aid1::phone::PhoneKey;
use aid_cli::signal::Trigger;
use aid_cmp::store::{Database, Stored, Tx};
use aid_cmp_core::change::Change;
use aid_cmp_core::decide::login::pin_mac;
use aid_cmp_core::model::{Account, Vehicle};
use aid_id::{AccountRef, Eid};
use book::Book;
use msp::Msp;
use pki::Pki;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

pub const SECRET: &str = "a secret of thirty-two bytes at least";
pub const PHONE_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
pub const PIN_KEY: [u8; 32] = [0x5A; 32];
pub const EVA: AccountRef = AccountRef([0xE0; 16]);
pub const PASSWORD: &str = "correct horse";
pub const PIN: &str = "4711";

pub struct World {
    pub folder: TempDir,
    pub pki: Pki,
    pub msp: Msp,
    pub eid: Eid,
    pub store: Book,
    pub aid1: SocketAddr,
    pub portal: SocketAddr,
    pub gateway: SocketAddr,
    pub admin: SocketAddr,
    stop: Option<Trigger>,
    task: Option<tokio::task::JoinHandle<()>>,
    database: Database,
}

/// One more CMP on the same database.
pub struct Instance {
    pub aid1: SocketAddr,
    pub portal: SocketAddr,
    pub gateway: SocketAddr,
    pub admin: SocketAddr,
    stop: Trigger,
    task: tokio::task::JoinHandle<()>,
}

impl Instance {
    pub async fn stop(self) {
        self.stop.stop();
        self.task.await.unwrap();
    }
}

pub fn eid(n: u32) -> Eid {
    Eid::with_check_digits(&format!("890490320000010000000000{n:06}")).unwrap()
}

impl World {
    pub async fn new() -> Self {
        Self::on(None).await
    }

    /// On this PostgreSQL server, or on a SQLite file.
    pub async fn on(url: Option<&str>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let pki = Pki::new(folder.path());
        let msp = Msp::start(&pki).await;
        let database = match url {
            Some(url) => postgres::location(url).parse().unwrap(),
            None => Database::from(&folder.path().join("cmp.sqlite")),
        };
        let store = Book::open(&database).await.unwrap();
        if let Some(url) = url {
            postgres::refuse(url).await;
        }
        let eid = eid(1);
        let vehicle = |eid| Change::AddVehicle(Vehicle::new(eid, 0));
        let account = Account {
            id: EVA,
            name: "eva".into(),
            display_name: "Eva".into(),
            password: aid_cmp::password::hash(PASSWORD).unwrap(),
            pin_mac: Some(pin_mac(&PIN_KEY, EVA, PIN)),
            created_at: 0,
        };
        let changes = vec![
            vehicle(eid),
            vehicle(self::eid(2)),
            Change::AddAccount(account),
        ];
        store.commit(changes).await.unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let mut world = Self {
            folder,
            pki,
            msp,
            eid,
            store,
            aid1: any,
            portal: any,
            gateway: any,
            admin: any,
            stop: None,
            task: None,
            database,
        };
        world.write_config();
        world.start().await;
        world
    }

    /// Stores changes that nothing was decided on.
    pub async fn commit(&self, changes: Vec<Change>) {
        self.store.commit(changes).await.unwrap();
    }

    /// Reads one state of the database.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl for<'t> AsyncFnOnce(&'t Tx<'t>) -> Stored<T> + Send + 'static,
    ) -> T {
        self.store.0.read(look).await.unwrap()
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("cmp.toml")
    }

    fn write_config(&self) {
        let pin = hex::encode(PIN_KEY);
        let database = match &self.database {
            Database::Sqlite(_) => "cmp.sqlite",
            Database::Postgres(url) => url.expose(),
        };
        let msp = self.msp.address.port();
        let block = |name: &str, client: &str, own: &str, key: &str, secret: &str, cn: &str| {
            format!(
                "[[msp]]\nname = {name:?}\nclient_id = {client:?}\nown_client_id = {own:?}\n\
                 url = \"https://localhost:{msp}\"\ntouchpoint = \"https://msp.example/authorize\"\n\
                 ca = \"ca.pem\"\ncert = \"cmp.pem\"\nkey = \"cmp.key\"\napi_key_out = \"cmpkey\"\n\
                 api_key_in = {key:?}\naccount_id_secret = {secret:?}\nphone_key = {PHONE_KEY:?}\n\
                 redirect_uri = \"https://localhost:1/linked\"\ncommon_name = {cn:?}\n\
                 return_uris = [\"https://*.{client}.example\"]\n\
                 statuses = [\"installed\", \"enabled\", \"disabled\", \"deleted\", \"installation_failed\"]\n\
                 every_use = true\n"
            )
        };
        let text = format!(
            "database = {database:?}\naccount_pin_key = {pin:?}\n\
             [aid1]\nlisten = \"127.0.0.1:0\"\ncert = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"ca.pem\"\n\
             [portal]\nlisten = \"127.0.0.1:0\"\ncert = \"server.pem\"\nkey = \"server.key\"\nbase_url = \"https://localhost:1\"\n\
             [gateway]\nlisten = \"127.0.0.1:0\"\ncert = \"server.pem\"\nkey = \"server.key\"\nclient_ca = \"ca.pem\"\n\
             {}{}",
            block("Mobile One", "mspone", "theCmp", "mspkey", SECRET, "msp"),
            block(
                "Mobile Two",
                "msptwo",
                "theCmp",
                "mspkey2",
                &SECRET.to_uppercase(),
                "msp2"
            ),
        );
        std::fs::write(self.config(), text).unwrap();
    }

    async fn start(&mut self) {
        let instance = self.another().await;
        (self.aid1, self.portal, self.gateway) = (instance.aid1, instance.portal, instance.gateway);
        self.admin = instance.admin;
        (self.stop, self.task) = (Some(instance.stop), Some(instance.task));
    }

    /// Starts one more CMP.
    pub async fn another(&self) -> Instance {
        let (trigger, stop) = aid_cli::signal::manual();
        let (tell, hear) = tokio::sync::oneshot::channel();
        let path = self.config();
        let task = tokio::spawn(async move {
            let done = aid_cmp::program::serve_until(&path, stop, |listen| {
                tell.send(listen.to_vec()).unwrap();
                Ok(())
            });
            done.await.unwrap();
        });
        let listen = hear.await.unwrap();
        // Behind a broker there is no gateway of its own.
        let none = "127.0.0.1:0".parse().unwrap();
        let at = |name| {
            listen
                .iter()
                .find(|(n, _)| *n == name)
                .map_or(none, |l| l.1)
        };
        Instance {
            aid1: at("aid1"),
            portal: at("portal"),
            gateway: at("gateway"),
            admin: at("admin"),
            stop: trigger,
            task,
        }
    }

    /// Stops the CMP for good.
    pub async fn halt(&mut self) {
        self.stop.take().unwrap().stop();
        self.task.take().unwrap().await.unwrap();
    }

    /// Closes the tests' own connections, for those who move or replace the files. An empty store takes its place.
    pub async fn close_store(&mut self) {
        let none = self.folder.path().join("none.sqlite");
        let none = Book::open(&none).await.unwrap();
        std::mem::replace(&mut self.store, none).close().await;
    }

    /// The CMP, which is halted, works on this PostgreSQL server from now on; the tests' own store does not.
    pub fn move_to(&mut self, url: &str) {
        self.database = url.parse().unwrap();
        self.write_config();
    }

    /// Starts the CMP after [`Self::halt`].
    pub async fn resume(&mut self) {
        self.start().await;
    }

    /// Stops the CMP and starts it again on the same database.
    pub async fn restart(&mut self) {
        self.stop.take().unwrap().stop();
        self.task.take().unwrap().await.unwrap();
        self.start().await;
    }

    /// The MSP's client of the CMP.
    pub fn client(&self) -> CmpClient {
        self.client_as("mspone", "mspkey", "msp")
    }

    pub fn client_as(&self, id: &str, key: &str, certificate: &str) -> CmpClient {
        self.client_of(self.aid1, id, key, certificate)
    }

    pub fn client_of(
        &self,
        address: SocketAddr,
        id: &str,
        key: &str,
        certificate: &str,
    ) -> CmpClient {
        CmpClient::new(Settings {
            base_url: format!("https://localhost:{}", address.port()),
            tls: (*self.pki.client(certificate)).clone(),
            own_id: id.parse().unwrap(),
            target_id: "theCmp".parse().unwrap(),
            credentials: Credentials::api_key(key).unwrap(),
            timeout: Duration::from_secs(10),
            deviations: aid_aid1::deviation::Deviations::default(),
            iccids: aid_aid1::body::Iccids::Standard,
        })
        .unwrap()
    }

    pub fn phone(&self) -> aid_aid1::phone::EncryptedPhone {
        let key: PhoneKey = PHONE_KEY.parse().unwrap();
        key.encrypt(&"491701234567".parse().unwrap(), [9; 12])
            .unwrap()
    }

    /// A browser with its own cookies, signed in.
    pub async fn browser(&self) -> Browser {
        let browser = Browser::new(self);
        let page = browser.get("/login").await;
        let form = [
            ("csrf", csrf(&page)),
            ("next", "/".into()),
            ("name", "Eva".into()),
            ("password", PASSWORD.into()),
        ];
        let (status, location) = browser.post("/login", &form).await;
        assert_eq!((status, location.as_str()), (303, "/"));
        browser
    }

    /// Onboards Eva through the portal; yields the token.
    pub async fn federate(&self) -> aid_id::MspToken {
        let browser = self.browser().await;
        let page = browser.get("/").await;
        let form = [("csrf", csrf(&page)), ("msp", "Mobile One".into())];
        let (status, location) = browser.post("/link", &form).await;
        assert_eq!(status, 303, "{location}");
        let id = query(&location, "id");
        let secret: account_id::Secret = SECRET.parse().unwrap();
        let now = aid_cmp::service::now() / 1000;
        account_id::verify(&id, &[secret], &account_id::Policy::default(), now).unwrap();
        let token = aid_id::MspToken::from_bytes(uuid::Uuid::new_v4().into_bytes());
        let body = self.token_body(token);
        let call = aid_aid1::client::Call::new();
        self.client()
            .send_msp_token(call, &id, &body)
            .await
            .unwrap();
        token
    }

    pub fn token_body(&self, token: aid_id::MspToken) -> aid_aid1::body::SendMspToken {
        aid_aid1::body::SendMspToken::Token {
            msp_token: token,
            phone: self.phone(),
            subscription_type: aid_aid1::body::SubscriptionType::Private,
            customer_group: None,
        }
    }
}

/// The value of a query parameter.
pub fn query(url: &str, name: &str) -> String {
    let url = reqwest::Url::parse(url).unwrap();
    let mut pairs = url.query_pairs();
    pairs.find(|(k, _)| k == name).unwrap().1.into_owned()
}

/// The form token of a page.
pub fn csrf(page: &str) -> String {
    let mark = "name=\"csrf\" value=\"";
    let at = page.find(mark).expect("a form") + mark.len();
    page[at..].split('"').next().unwrap().to_owned()
}

pub struct Browser {
    pub client: reqwest::Client,
    base: String,
}

impl Browser {
    pub fn new(world: &World) -> Self {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*world.pki.anonymous()).clone())
            .cookie_store(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let base = format!("https://localhost:{}", world.portal.port());
        Self { client, base }
    }

    pub async fn get(&self, path: &str) -> String {
        let answer = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .unwrap();
        answer.text().await.unwrap()
    }

    pub async fn visit(&self, path: &str) -> (u16, String) {
        let answer = self
            .client
            .get(format!("{}{path}", self.base))
            .send()
            .await
            .unwrap();
        Self::outcome(&answer)
    }

    pub async fn post(&self, path: &str, form: &[(&str, String)]) -> (u16, String) {
        let request = self.client.post(format!("{}{path}", self.base)).form(form);
        Self::outcome(&request.send().await.unwrap())
    }

    fn outcome(answer: &reqwest::Response) -> (u16, String) {
        let location = answer
            .headers()
            .get("location")
            .map(|l| l.to_str().unwrap().to_owned());
        (answer.status().as_u16(), location.unwrap_or_default())
    }
}
