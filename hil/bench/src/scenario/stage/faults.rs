//! What can happen to the parts of a set-up: links, clocks, disks, journals, cards.

use super::Stage;
use super::parts::link_name;
use crate::link::{Door, HttpRule, Link};
use aid_cli::cli::Failure;
use aid_cli::tls;
use aid_needs::shim::{Calls, Effect, Errno, Rule, Shim};

impl Stage {
    /// A link by its name.
    pub(in super::super) fn link(&self, name: &str, car: usize) -> Result<&Link, Failure> {
        let name = link_name(name, car + 1);
        self.links
            .get(&name)
            .ok_or_else(|| Failure::new(format!("there is no link {name:?}")))
    }

    /// Adds a fault of HTTP messages to a link.
    pub(in super::super) fn http_fault(&self, name: &str, rule: HttpRule) -> Result<(), Failure> {
        let path = |file: &str| self.site.path(file);
        let aid = |server: &str, client: &str| -> Result<Door, Failure> {
            let own = (
                path(&format!("pki/aid/{client}.pem")),
                path(&format!("pki/aid/{client}.key")),
            );
            Ok(Door {
                server: tls::server_config(
                    &path(&format!("pki/aid/{server}.pem")),
                    &path(&format!("pki/aid/{server}.key")),
                    Some(&path("pki/aid/partners-ca.pem")),
                )?,
                client: tls::client_config(&path("pki/aid/ca.pem"), Some((&own.0, &own.1)))?,
            })
        };
        let door = || match name {
            "msp-smdp" => aid("smdp-server", "msp"),
            "cmp-msp" => aid("msp-server", "cmp"),
            "msp-cmp" => aid("cmp-server", "msp"),
            "car-smdp" => Ok(Door {
                server: tls::server_config(
                    &path("pki/rsp/DPtls/CERT_S_SM_DP_TLS_NIST.pem"),
                    &path("pki/rsp/DPtls/SK_S_SM_DP_TLS_NIST.pem"),
                    None,
                )?,
                client: tls::client_config(
                    &path("pki/rsp/CertificateIssuer/CERT_CI_ECDSA_NIST.pem"),
                    None,
                )?,
            }),
            other => Err(Failure::new(format!("there is no HTTP on link {other:?}"))),
        };
        self.link(name, 0)?.http(rule, door)
    }

    fn shim(&self, part: &str) -> Result<&Shim, Failure> {
        self.shims.get(part).ok_or_else(|| {
            Failure::new(format!("[given] needs shims = [\"{part}\"] for this step"))
        })
    }

    /// Moves the clock of a part: it is wrong by so much from now on.
    pub(in super::super) fn move_clock(&self, part: &str, ahead_ms: i64) -> Result<(), Failure> {
        self.shim(part)?.set_clock(ahead_ms);
        Ok(())
    }

    /// The disk of a part takes nothing more, or again something.
    pub(in super::super) fn fill_disk(&self, part: &str, full: bool) -> Result<(), Failure> {
        let shim = self.shim(part)?;
        if !full {
            shim.end();
            return Ok(());
        }
        let path = match part {
            "cmp" => "/cmp.sqlite",
            "msp" => "/msp.sqlite",
            "smdp" => "/smdp.sqlite",
            card if card.starts_with("card") => ".nvm",
            _ => "/journal",
        };
        shim.begin(&Rule::always(
            Calls::WRITE | Calls::TRUNCATE,
            path,
            Effect::Fail(Errno::Full),
        ));
        Ok(())
    }

    /// The journal of a car that does not run is lost.
    pub(in super::super) fn lose_journal(&self, car: usize) -> Result<(), Failure> {
        let folder = self.journal(car);
        std::fs::remove_dir_all(&folder)
            .map_err(|e| Failure::new(format!("cannot remove {}: {e}", folder.display())))
    }

    fn journal(&self, car: usize) -> std::path::PathBuf {
        self.site
            .path(&format!("state/journal{}", self.site.cars[car].suffix))
    }

    /// Each file of the journal of a car that does not run gets another byte in its middle.
    pub(in super::super) fn damage_journal(&self, car: usize) -> Result<(), Failure> {
        let folder = self.journal(car);
        let wrong =
            |e: std::io::Error| Failure::new(format!("cannot damage {}: {e}", folder.display()));
        for entry in std::fs::read_dir(&folder).map_err(wrong)? {
            let file = entry.map_err(wrong)?.path();
            if !file.is_file() {
                continue;
            }
            let mut bytes = std::fs::read(&file).map_err(wrong)?;
            let middle = bytes.len() / 2;
            if let Some(byte) = bytes.get_mut(middle) {
                *byte ^= 0x55;
                std::fs::write(&file, bytes).map_err(wrong)?;
            }
        }
        Ok(())
    }

    /// The card of a car misbehaves from now on: it is powered off and on with these quirks.
    pub(in super::super) fn quirk(&mut self, car: usize, quirks: &[String]) -> Result<(), Failure> {
        let name = format!("card-{}", car + 1);
        self.stop(&name);
        self.set_quirks(car, quirks)?;
        self.start(&name)
    }
}
