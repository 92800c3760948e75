//! The drivers: an account at the CMP, a customer with a subscription at the MSP, and the link between them, written into
//! both databases before the programs serve. Ten thousand people who click through pages would measure a browser.

use crate::figures::people::{self, Driver};
use crate::figures::{UNLIMITED, commit};
use crate::site::{Fleet, Site};
use crate::story::books;
use aid_cli::cli::Failure;
use aid_cli::private;
use aid_cmp::service::fresh;
use aid_cmp::store::Store;
use rusqlite::params;
use toml::{Table, Value};

/// Type of the profiles that the SM-DP+ makes for the fleet.
const PROFILES: &str = "Fleet";

/// Lets the SM-DP+ make profiles on demand, the MSP order them, and no limit of calls stand in the way.
pub(crate) fn configure(site: &Site, vehicles: u32) -> Result<(), Failure> {
    let count = vehicles.saturating_mul(2).saturating_add(100);
    let template = format!(
        "\n[[template]]\nname = \"fleet\"\nprofile_type = \"{PROFILES}\"\niccid_first = \"894944000000000000\"\n\
         imsi_first = \"001010000000001\"\ncount = {count}\nalgorithm = \"milenage\"\nmnc_digits = 2\npin = \"0000\"\n\
         pin2 = \"0000\"\nmetadata = {{ name = \"Fleet\" }}\n"
    );
    let mut smdp = table(site, "smdp.toml")?;
    // The set-up's list is of another CI than the fleet's cards have.
    smdp.remove("crl");
    write(
        site,
        "smdp.toml",
        &format!("{}{template}", toml::to_string(&smdp)?),
    )?;
    append(site, "cmp.toml", UNLIMITED)?;
    let mut msp = table(site, "msp.toml")?;
    let smdp = msp.get_mut("smdp").and_then(Value::as_table_mut);
    let smdp = smdp.ok_or_else(|| Failure::new("the set-up's msp.toml has no [smdp]"))?;
    smdp.insert("profile_type".into(), PROFILES.into());
    write(
        site,
        "msp.toml",
        &format!("{}{UNLIMITED}", toml::to_string(&msp)?),
    )
}

fn table(site: &Site, name: &str) -> Result<Table, Failure> {
    Ok(std::fs::read_to_string(site.path(name))?.parse()?)
}

fn write(site: &Site, name: &str, text: &str) -> Result<(), Failure> {
    Ok(private::write(&site.path(name), text.as_bytes())?)
}

fn append(site: &Site, name: &str, text: &str) -> Result<(), Failure> {
    let old = std::fs::read_to_string(site.path(name))?;
    write(site, name, &format!("{old}{text}"))
}

/// Stores a driver for each car on both sides.
pub(super) async fn enrol(site: &Site, fleet: &Fleet) -> Result<Vec<Driver>, Failure> {
    let config = aid_cmp::config::read(&site.path("cmp.toml"))?;
    let (drivers, changes) = people::drivers(&config, fleet)?;
    let msp = people::first(&config)?;
    let store = Store::open(config.database.clone()).await?;
    commit(&store, changes).await?;
    store.close().await;
    books::output(site, "aid-msp", &["migrate", "--config", "msp.toml"], "")?;
    at_msp(site, msp.own_client_id.as_str(), &drivers)?;
    Ok(drivers)
}

fn at_msp(site: &Site, client: &str, drivers: &[Driver]) -> Result<(), Failure> {
    let wrong = |e: rusqlite::Error| Failure::new(format!("cannot fill the MSP's database: {e}"));
    // Nobody signs in with it.
    let password = aid_msp::hash_password("fleet")
        .ok_or_else(|| Failure::new("the password of the fleet could not be hashed; try again"))?;
    let mut database = rusqlite::Connection::open(site.path("state/msp.sqlite")).map_err(wrong)?;
    let now = i64::try_from(aid_cmp::service::now()).unwrap_or(i64::MAX);
    let all = database.transaction().map_err(wrong)?;
    for (n, driver) in drivers.iter().enumerate() {
        let insert = |sql: &str, values: &[&dyn rusqlite::ToSql]| all.execute(sql, values);
        let sid = uuid::Uuid::from_bytes(fresh()).to_string();
        let number = format!("49170{n:08}");
        let (name, token) = (&driver.name, driver.token.to_string());
        insert(
            "INSERT INTO customer (user_name, password, created_at) VALUES (?1, ?2, ?3)",
            params![name, password, now],
        )
        .and_then(|_| {
            insert(
                "INSERT INTO subscription (id, user_name, msisdn, kind, max_profiles, swap, eligible, state, created_at)
                 VALUES (?1, ?1, ?2, 'private', 5, 'candidate', 1, 'active', ?3)",
                params![name, number, now],
            )
        })
        .and_then(|_| {
            insert(
                "INSERT INTO onboarding (msp_token, client_id, user_name, sid, state, created_at, changed_at, subscription)
                 VALUES (?1, ?2, ?3, ?4, 'active', ?5, ?5, ?3)",
                params![token, client, name, sid, now],
            )
        })
        .map_err(wrong)?;
    }
    all.commit().map_err(wrong)
}
