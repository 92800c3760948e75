//! What the operators of a set-up read and do, through their own command lines.

use super::Stage;
use crate::story::books;
use aid_cli::cli::Failure;
use serde_json::Value;

impl Stage {
    /// A list of the CMP.
    pub(in super::super) fn cmp_list(&self, what: &str) -> Result<Vec<Value>, Failure> {
        books::list(&self.site, "aid-cmp", "cmp.toml", what)
    }

    /// A list of the MSP.
    pub(in super::super) fn msp_list(&self, what: &str) -> Result<Vec<Value>, Failure> {
        books::list(&self.site, "aid-msp", "msp.toml", what)
    }

    /// A list of the SM-DP+.
    pub(in super::super) fn smdp_list(&self, what: &str) -> Result<Vec<Value>, Failure> {
        books::list(&self.site, "aid-smdp", "smdp.toml", what)
    }

    /// A command of an operator; what it prints.
    pub(in super::super) fn operate(&self, part: &str, args: &[String]) -> Result<String, Failure> {
        let config = format!("{part}.toml");
        let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
        args.extend(["--config", &config]);
        books::output(&self.site, &format!("aid-{part}"), &args, "")
    }

    /// The last entry about a profile in the CMP's books; null where there is none.
    pub(in super::super) fn at_cmp(&self, iccid: &str) -> Result<Value, Failure> {
        let list = self.cmp_list("profile")?;
        let last = list.into_iter().rev().find(|p| p["iccid"] == iccid);
        Ok(last.unwrap_or(Value::Null))
    }

    /// The statuses that the MSP was told of a profile, in order.
    pub(in super::super) fn told(&self, iccid: &str) -> Result<Vec<String>, Failure> {
        // Where the MSP runs it is asked without a process for each look.
        let list = match self.control() {
            Ok(control) if self.runs("msp") => control.list("statuses")?,
            _ => self.msp_list("status")?,
        };
        let about = list.iter().filter(|s| s["iccid"] == iccid);
        Ok(about
            .filter_map(|s| s["status"].as_str().map(str::to_owned))
            .collect())
    }
}
