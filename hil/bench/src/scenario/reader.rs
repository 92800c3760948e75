//! Reads the words of a scenario file, each with its place, and notes everything that is wrong.

use super::args::wanted;
use super::catalog;
use super::file::{Act, Columns, Scenario, Step};
use super::given::{self, Given};
use super::kind::{Kind, Param, USERS, nearest, quoted};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The words that begin a step's sentence.
const WORDS: [&str; 3] = ["given", "when", "then"];
/// Keys of a file.
const FILE_KEYS: [&str; 8] = [
    "title",
    "clause",
    "requirements",
    "sgp23",
    "given",
    "variants",
    "rows",
    "steps",
];
/// Most steps of a file, those of rows counted once.
const MAX_STEPS: usize = 200;

/// Reads, and notes what is wrong.
pub(super) struct Reader<'a> {
    text: &'a str,
    list: Vec<(usize, String)>,
    /// What `${…}` may stand for here.
    known: BTreeSet<String>,
    count: usize,
}

type Table<'i> = DeTable<'i>;

impl<'a> Reader<'a> {
    /// Nothing was read yet.
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            list: Vec::new(),
            known: BTreeSet::new(),
            count: 0,
        }
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_content(&self) -> bool {
        self.list.is_empty()
    }

    /// What is wrong, with its lines, in their order.
    pub(super) fn mistakes(mut self) -> Vec<(usize, String)> {
        self.list.sort();
        self.list
    }
}

impl Reader<'_> {
    pub(super) fn say(&mut self, at: Range<usize>, text: String) {
        let line = self.line(&at);
        self.list.push((line, text));
    }

    fn line(&self, at: &Range<usize>) -> usize {
        let before = self.text.get(..at.start).unwrap_or_default();
        1 + before.matches('\n').count()
    }

    /// Notes keys that nobody knows.
    pub(super) fn only(&mut self, table: &Table<'_>, what: &str, known: &[&str]) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let hint = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("there are {}", quoted(known)),
                };
                self.say(key.span(), format!("{what} has no key {name:?}; {hint}"));
            }
        }
    }

    /// The whole file; none where it has no title or clause.
    pub(super) fn scenario(&mut self, name: &str, table: &Table<'_>) -> Option<Scenario> {
        self.only(table, "a scenario", &FILE_KEYS);
        let title = self.required(table, "title", "what it shows, in one sentence");
        let clause = self.required(table, "clause", "e.g. \"AID.02 §4.3\"");
        let requirements = self.ids(table, "requirements");
        let sgp23 = self.texts(table, "sgp23");
        let given = match table.get("given") {
            Some(value) => given::read(self, value),
            None => Given::default(),
        };
        for n in 1..=given.cars {
            self.known.insert(given::eid_name(n));
        }
        let variants = match table.get("variants") {
            Some(value) => self.columns(value, "variants"),
            None => Vec::new(),
        };
        let mut names = BTreeSet::new();
        for variant in &variants {
            let name = variant.get("name").cloned().unwrap_or_default();
            if name.is_empty() || !names.insert(name.clone()) {
                let at = table.get("variants").map(Spanned::span).unwrap_or_default();
                self.say(
                    at,
                    format!("each variant needs a name of its own: name = \"…\"; {name:?} is none"),
                );
                break;
            }
        }
        self.know(&variants);
        let mut rows = BTreeMap::new();
        if let Some(value) = table.get("rows") {
            match value.get_ref().as_table() {
                Some(tables) => {
                    for (key, value) in tables {
                        let list = self.columns(value, key.get_ref());
                        rows.insert(key.get_ref().to_string(), list);
                    }
                }
                None => self.say(
                    value.span(),
                    "rows must be a table of lists: rows.NAME = [ { … } ]".into(),
                ),
            }
        }
        let steps = match table.get("steps") {
            Some(value) => self.steps(value, &given, &rows),
            None => {
                self.say(0..0, "the scenario needs steps = [ … ]".into());
                Vec::new()
            }
        };
        Some(Scenario {
            name: name.to_owned(),
            title: title?,
            clause: clause?,
            requirements,
            sgp23,
            given,
            variants,
            rows,
            steps,
        })
    }

    fn know(&mut self, columns: &[Columns]) {
        for row in columns {
            self.known.extend(row.keys().cloned());
        }
    }

    fn required(&mut self, table: &Table<'_>, key: &str, what: &str) -> Option<String> {
        match table.get(key) {
            Some(value) => self.text(value, key),
            None => {
                self.say(0..0, format!("the scenario needs {key}: {what}"));
                None
            }
        }
    }

    /// A text that is not empty.
    pub(super) fn text(&mut self, value: &Spanned<DeValue<'_>>, key: &str) -> Option<String> {
        match value.get_ref().as_str().filter(|t| !t.trim().is_empty()) {
            Some(text) => Some(text.to_owned()),
            None => {
                self.say(
                    value.span(),
                    format!("{key} must be text in quotation marks, not empty"),
                );
                None
            }
        }
    }

    fn texts(&mut self, table: &Table<'_>, key: &str) -> Vec<String> {
        let Some(value) = table.get(key) else {
            return Vec::new();
        };
        let list = value.get_ref().as_array();
        let texts = list.map(|l| l.iter().map(|v| v.get_ref().as_str().map(str::to_owned)));
        match texts.and_then(|texts| texts.collect::<Option<Vec<_>>>()) {
            Some(texts) => texts,
            None => {
                self.say(
                    value.span(),
                    format!("{key} must be a list of texts: [\"…\"]"),
                );
                Vec::new()
            }
        }
    }

    fn ids(&mut self, table: &Table<'_>, key: &str) -> Vec<String> {
        let ids = self.texts(table, key);
        if let Some(wrong) = ids.iter().find(|id| !is_id(id)) {
            let at = table.get(key).map(Spanned::span).unwrap_or_default();
            self.say(
                at,
                format!("{key}: {wrong:?} is no requirement id; one looks like \"R-4.3-7\""),
            );
        }
        ids
    }

    /// Rows of scalars, which are kept as text.
    fn columns(&mut self, value: &Spanned<DeValue<'_>>, what: &str) -> Vec<Columns> {
        let Some(list) = value.get_ref().as_array() else {
            self.say(
                value.span(),
                format!("{what} must be a list of tables: [ {{ … }}, {{ … }} ]"),
            );
            return Vec::new();
        };
        let mut rows: Vec<Columns> = Vec::new();
        for row in list {
            let Some(table) = row.get_ref().as_table() else {
                self.say(
                    row.span(),
                    format!("{what} must be a list of tables: [ {{ … }}, {{ … }} ]"),
                );
                continue;
            };
            let mut columns = Columns::new();
            for (key, value) in table {
                let text = match json(value.get_ref()) {
                    Value::String(text) => text,
                    other @ (Value::Number(_) | Value::Bool(_)) => other.to_string(),
                    _ => {
                        self.say(
                            value.span(),
                            format!(
                                "{what}: {} must be text, a number, true or false",
                                key.get_ref()
                            ),
                        );
                        continue;
                    }
                };
                columns.insert(key.get_ref().to_string(), text);
            }
            if rows
                .first()
                .is_some_and(|first| !first.keys().eq(columns.keys()))
            {
                self.say(
                    row.span(),
                    format!("{what}: every row needs the same keys as the first"),
                );
            }
            rows.push(columns);
        }
        rows
    }

    fn steps(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        given: &Given,
        rows: &BTreeMap<String, Vec<Columns>>,
    ) -> Vec<Step> {
        let Some(list) = value.get_ref().as_array().filter(|l| !l.is_empty()) else {
            self.say(
                value.span(),
                "steps must be a list with at least one step: [ { when = \"…\", do = \"…\" } ]"
                    .into(),
            );
            return Vec::new();
        };
        let mut steps = Vec::new();
        for value in list {
            self.count += 1;
            if self.count > MAX_STEPS {
                self.say(
                    value.span(),
                    format!("a scenario has at most {MAX_STEPS} steps"),
                );
                break;
            }
            match value.get_ref().as_table() {
                Some(table) => steps.extend(self.step(&value.span(), table, given, rows)),
                None => self.say(
                    value.span(),
                    "a step is a table: { when = \"…\", do = \"…\" }".into(),
                ),
            }
        }
        steps
    }

    fn step(
        &mut self,
        at: &Range<usize>,
        table: &Table<'_>,
        given: &Given,
        rows: &BTreeMap<String, Vec<Columns>>,
    ) -> Option<Step> {
        let words: Vec<&str> = WORDS
            .into_iter()
            .filter(|w| table.contains_key(*w))
            .collect();
        let [word] = words[..] else {
            self.say(
                at.clone(),
                "a step says what happens under one of \"given\", \"when\" or \"then\"".into(),
            );
            return None;
        };
        let text = table.get(word).and_then(|value| self.text(value, word))?;
        let proves = self.ids(table, "proves");
        if let Some(each) = table.get("each") {
            self.only(
                table,
                "a step with each",
                &["given", "when", "then", "each", "steps", "proves"],
            );
            let name = self.text(each, "each")?;
            let Some(list) = rows.get(&name) else {
                let hint = nearest(&name, rows.keys().map(String::as_str));
                let hint = hint.map_or_else(
                    || "add it under [rows]".into(),
                    |n| format!("did you mean {n:?}?"),
                );
                self.say(each.span(), format!("there are no rows {name:?}; {hint}"));
                return None;
            };
            let before = self.known.clone();
            self.know(list);
            let steps = match table.get("steps") {
                Some(value) => self.steps(value, given, rows),
                None => {
                    self.say(
                        at.clone(),
                        "a step with each needs steps = [ … ], which are played for each row"
                            .into(),
                    );
                    Vec::new()
                }
            };
            // What a row saves is there afterwards, its columns are not.
            let columns: BTreeSet<String> = list.iter().flat_map(|r| r.keys().cloned()).collect();
            self.known
                .retain(|name| before.contains(name) || !columns.contains(name));
            return Some(Step {
                text,
                proves,
                line: self.line(at),
                act: Act::Each(name, steps),
                save: None,
                take: None,
                within: None,
                refused: None,
            });
        }
        let key = if word == "then" { "see" } else { "do" };
        let Some(named) = table.get(key) else {
            let other = if key == "see" { "do" } else { "see" };
            let wrong = table.contains_key(other);
            self.say(at.clone(), match wrong {
                true => format!("a step under {word:?} says what with {key} = \"…\", not with {other}"),
                false => format!("a step under {word:?} needs {key} = \"…\"; docs/scenarios.md lists what there is"),
            });
            return None;
        };
        let name = self.text(named, key)?;
        let Some(action) = catalog::find(key, &name) else {
            let known = catalog::all().filter(|a| a.key() == key).map(|a| a.name);
            let hint = nearest(&name, known);
            let hint = hint.map_or_else(
                || "docs/scenarios.md lists what there is".into(),
                |n| format!("did you mean {n:?}?"),
            );
            self.say(
                named.span(),
                format!("there is no {key} = {name:?}; {hint}"),
            );
            return None;
        };
        let own: &[&str] = match key {
            "see" => &["then", "see", "save", "take", "within", "proves"],
            _ => &["given", "when", "do", "save", "take", "refused", "proves"],
        };
        let params = action.params.iter().map(|p| p.name);
        let known: Vec<&str> = own.iter().copied().chain(params).collect();
        self.only(table, &name, &known);
        let mut args = Map::new();
        for param in action.params {
            match table.get(param.name) {
                Some(value) => {
                    let json = json(value.get_ref());
                    self.judge(&name, param, value.span(), &json, given);
                    args.insert(param.name.to_owned(), json);
                }
                None if param.required => {
                    let words = param.kind.words();
                    self.say(
                        at.clone(),
                        format!("{name} needs {}: {words} ({})", param.name, param.about),
                    );
                }
                None => {}
            }
        }
        let mut own_text = |name: &str| {
            let value = table.get(name)?;
            let text = self.text(value, name)?;
            self.filled(&value.span(), &Value::String(text.clone()));
            Some(text)
        };
        let (take, refused) = (own_text("take"), own_text("refused"));
        let within = own_text("within");
        if let (Some(text), Some(value)) = (&within, table.get("within"))
            && super::kind::duration(text).is_none()
        {
            self.say(
                value.span(),
                format!("within must be {}", Kind::Time.words()),
            );
        }
        let save = table.get("save").and_then(|value| self.text(value, "save"));
        if let Some(name) = &save {
            self.known.insert(name.clone());
        }
        self.filled(at, &Value::String(text.clone()));
        Some(Step {
            text,
            proves,
            line: self.line(at),
            act: Act::Run(action, args),
            save,
            take,
            within,
            refused,
        })
    }

    fn judge(&mut self, name: &str, param: &Param, at: Range<usize>, value: &Value, given: &Given) {
        if !param.kind.fits(value) {
            let key = param.name;
            self.say(
                at.clone(),
                format!("{name}: {key} must be {}", param.kind.words()),
            );
        }
        match param.kind {
            Kind::Car if value.as_u64().is_some_and(|n| n > given.cars as u64) => {
                self.say(
                    at.clone(),
                    format!("there is no car {value}; [given] has cars = {}", given.cars),
                );
            }
            Kind::User => {
                let index = USERS.iter().position(|u| value == u);
                if index.is_some_and(|n| n >= given.users) {
                    self.say(
                        at.clone(),
                        format!(
                            "there is no user {value}; [given] has users = {}",
                            given.users
                        ),
                    );
                }
            }
            _ => {}
        }
        self.filled(&at, value);
    }

    /// Notes `${…}` that nothing stands for.
    pub(super) fn filled(&mut self, at: &Range<usize>, value: &Value) {
        match value {
            Value::String(text) => {
                for name in wanted(text) {
                    if !self.known.contains(name) {
                        let hint = nearest(name, self.known.iter().map(String::as_str));
                        let hint = hint.map_or_else(
                            || "an earlier step has to save it: save = \"…\"".into(),
                            |n| format!("did you mean ${{{n}}}?"),
                        );
                        self.say(
                            at.clone(),
                            format!("nothing stands for ${{{name}}}; {hint}"),
                        );
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|v| self.filled(at, v)),
            Value::Object(table) => {
                for (key, value) in table {
                    self.filled(at, &Value::String(key.clone()));
                    self.filled(at, value);
                }
            }
            _ => {}
        }
    }
}

/// Whether this is a requirement id such as R-4.3-7.
fn is_id(text: &str) -> bool {
    let Some((chapter, number)) = text.strip_prefix("R-").and_then(|t| t.rsplit_once('-')) else {
        return false;
    };
    let is_word =
        |t: &str| !t.is_empty() && t.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    is_word(chapter) && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

/// A value without its places.
pub(super) fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Null, Value::from)
        }
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .map_or(Value::Null, Value::from),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(time) => Value::String(time.to_string()),
        DeValue::Array(list) => Value::Array(list.iter().map(|v| json(v.get_ref())).collect()),
        DeValue::Table(table) => {
            let members = table
                .iter()
                .map(|(k, v)| (k.get_ref().to_string(), json(v.get_ref())));
            Value::Object(members.collect())
        }
    }
}
