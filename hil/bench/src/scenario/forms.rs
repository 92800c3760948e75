//! The CMP's portal as a browser without scripts uses it: pages are read for their forms, a form is
//! filled with what is in it and sent, confirmations are given.
//! Used by the scenarios.

use crate::site::{Driver, Site};
use crate::story::browser::Browser;
use aid_cli::cli::Failure;

/// Pages that ask again before they do it.
const CONFIRMATIONS: usize = 3;

/// A form of a page.
#[derive(Debug, Clone)]
struct Form {
    action: String,
    /// Names and values that are in it, buttons included.
    fields: Vec<(String, String)>,
}

/// The value of an attribute in the text of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let at = tag.find(&format!(" {name}=\""))?;
    let value = &tag[at + name.len() + 3..];
    value.split('"').next()
}

fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

fn forms(page: &str) -> Vec<Form> {
    let mut out: Vec<Form> = Vec::new();
    let mut inside = false;
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        if tag.starts_with("form") {
            inside = true;
            out.push(Form {
                action: attribute(tag, "action").unwrap_or_default().to_owned(),
                fields: Vec::new(),
            });
        } else if tag.starts_with("/form") {
            inside = false;
        } else if inside
            && (tag.starts_with("input") || tag.starts_with("button"))
            && let (Some(form), Some(name)) = (out.last_mut(), attribute(tag, "name"))
        {
            // Of several buttons the first is pressed.
            if tag.starts_with("button") && form.fields.iter().any(|(n, _)| n == name) {
                continue;
            }
            let value = unescape(attribute(tag, "value").unwrap_or_default());
            form.fields.push((name.to_owned(), value));
        }
    }
    out
}

/// A driver who is signed in.
pub(super) struct Portal {
    browser: Browser,
    base: String,
}

impl Portal {
    /// Signs a driver in.
    pub(super) fn sign_in(site: &Site, driver: &Driver) -> Result<Self, Failure> {
        let portal = Self {
            browser: Browser::new(site)?,
            base: format!("https://localhost:{}", site.ports.portal),
        };
        let fields = [
            ("name", driver.name),
            ("password", driver.password.as_str()),
        ];
        portal.act("/login", |f| f.action.contains("login"), &fields)?;
        Ok(portal)
    }

    /// The pages with the cars and with the subscriptions, one behind the other.
    pub(super) fn account(&self) -> Result<String, Failure> {
        let home = self.browser.page(&format!("{}/", self.base))?;
        let subscriptions = self.browser.page(&format!("{}/subscriptions", self.base))?;
        Ok(home + &subscriptions)
    }

    /// Ends the only subscription that is linked.
    pub(super) fn withdraw(&self) -> Result<(), Failure> {
        let question = self.link("/subscriptions", |href| href.starts_with("/unlink?"))?;
        let form = |f: &Form| f.action == "/unlink";
        self.act(&question, form, &[]).map(drop)
    }

    /// Where the first link of a page leads that fits.
    fn link(&self, path: &str, fits: impl Fn(&str) -> bool) -> Result<String, Failure> {
        let page = self.browser.page(&format!("{}{path}", self.base))?;
        let links = page.split("<a ").skip(1);
        let mut hrefs = links.filter_map(|tag| attribute(&format!(" {tag}"), "href").map(unescape));
        hrefs
            .find(|href| fits(href))
            .ok_or_else(|| Failure::new(format!("the page {path} has no such link")))
    }

    /// Approves the login of a car that shows this code.
    pub(super) fn approve(&self, code: &str) -> Result<(), Failure> {
        let form = |f: &Form| f.action == "/car";
        self.act("/car", form, &[("code", code)]).map(drop)
    }

    /// Deletes one profile: from the page of the car that has it.
    pub(super) fn delete(&self, iccid: &str) -> Result<(), Failure> {
        let account = self.account()?;
        let cars = account.split("<article ").skip(1);
        let car = cars
            .filter(|card| card.contains(iccid))
            .find_map(|card| {
                card.split("href=\"")
                    .find(|rest| rest.starts_with("/cars/"))
            })
            .and_then(|rest| rest.split('"').next())
            .ok_or_else(|| Failure::new(format!("no car has the profile {iccid}")))?;
        let question = format!("/delete?iccid={iccid}&");
        let question = self.link(car, |href| href.starts_with(&question))?;
        self.act(&question, |f| f.action == "/delete", &[])
            .map(drop)
    }

    /// Sends the form that fits, filled with these values, and every page that asks for confirmation.
    fn act(
        &self,
        path: &str,
        fits: impl Fn(&Form) -> bool,
        values: &[(&str, &str)],
    ) -> Result<String, Failure> {
        let mut page = self.browser.page(&format!("{}{path}", self.base))?;
        for turn in 0..=CONFIRMATIONS {
            let found = forms(&page).into_iter().find(|f| fits(f));
            let Some(mut form) = found.filter(|_| turn == 0 || page.contains("onfirm")) else {
                return match turn {
                    0 => Err(Failure::new(format!("the page {path} has no such form"))),
                    _ => Ok(page),
                };
            };
            for (name, value) in &mut form.fields {
                if let Some((_, given)) = values.iter().find(|(n, _)| n == name) {
                    *value = (*given).to_owned();
                }
            }
            let fields: Vec<(&str, &str)> = form
                .fields
                .iter()
                .map(|(n, v)| (n.as_str(), v.as_str()))
                .collect();
            let url = format!("{}{}", self.base, form.action);
            page = self.browser.send(&self.base, &url, &fields)?;
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_with_their_fields() {
        let page = "<form method=\"post\" action=\"/a\"><input type=\"hidden\" name=\"csrf\" \
                    value=\"1&amp;2\"><button name=\"d\" value=\"yes\">x</button></form><input name=\"z\">\
                    <form action=\"/b\"></form>";
        let forms = forms(page);
        assert_eq!(forms.len(), 2);
        assert_eq!(forms[0].action, "/a");
        let fields = [("csrf".into(), "1&2".into()), ("d".into(), "yes".into())];
        assert_eq!(forms[0].fields, fields);
        assert!(forms[1].fields.is_empty());
    }
}
