//! Members of a list come and go; comments stay. What stands behind a member on its line is about that
//! member and goes with it; what has lines of its own stays.

use toml_edit::{Array, Value};

use super::{EditError, Target};

/// The list with exactly these members. What it has already keeps its place and comments, as long as
/// that gives the order that is wanted.
pub fn set(text: &str, target: &Target, members: &[String]) -> Result<String, EditError> {
    let old = read(text, target)?;
    let gone: Vec<String> =
        texts(&old).filter(|old| !members.iter().any(|new| new == old)).map(str::to_owned).collect();
    let changed = read(&change(text, target, &gone, members)?, target)?;
    match texts(&changed).eq(members.iter().map(String::as_str)) {
        true => Ok(changed.to_string()),
        false => target.render(members),
    }
}

/// The list without some members and with others behind it; who is there already is not added again.
pub fn change(text: &str, target: &Target, remove: &[String], add: &[String]) -> Result<String, EditError> {
    let mut array = read(text, target)?;
    for member in remove {
        let Some(index) = texts(&array).position(|text| text == member) else {
            let members: Vec<String> = texts(&array).map(|text| format!("{text:?}")).collect();
            return Err(EditError::NoSuchMember {
                key: target.to_string(),
                member: member.clone(),
                members: if members.is_empty() { "nothing".to_owned() } else { members.join(", ") },
            });
        };
        take_out(&mut array, index);
    }
    for member in add {
        if !texts(&array).any(|text| text == member) {
            put_in(&mut array, member);
        }
    }
    Ok(array.to_string())
}

fn read(text: &str, target: &Target) -> Result<Array, EditError> {
    match text.trim().parse::<Value>() {
        // A member that is no string keeps its place as far as this is concerned; the check of the file
        // says what it is.
        Ok(Value::Array(array)) => Ok(array),
        Ok(_) => Err(EditError::NoList(target.to_string())),
        Err(error) => Err(EditError::NotToml(error.message().replace('\n', ", "))),
    }
}

fn texts(array: &Array) -> impl Iterator<Item = &str> {
    array.iter().map(|value| value.as_str().unwrap_or_default())
}

/// What stands between a member, or the opening bracket, and the next.
fn prefix(value: &Value) -> String {
    value.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned()
}

fn suffix(value: &Value) -> String {
    value.decor().suffix().and_then(|suffix| suffix.as_str()).unwrap_or_default().to_owned()
}

fn put_in(array: &mut Array, member: &str) {
    let trailing = array.trailing().as_str().unwrap_or_default().to_owned();
    let last = array.len().checked_sub(1);
    let own_suffix = last.and_then(|last| array.get(last)).map(suffix).unwrap_or_default();
    // Up to the closing bracket: behind the last comma, if there is one there.
    let gap = if array.trailing_comma() { trailing } else { format!("{own_suffix}{trailing}") };
    let indents = array.iter().map(prefix).filter_map(|prefix| Some(prefix.rsplit_once('\n')?.1.to_owned()));
    let indent = indents.last();
    let mut value = Value::from(member);
    let Some((before, closing)) = gap.rsplit_once('\n') else {
        // All on one line.
        value.decor_mut().set_prefix(if last.is_some() { " " } else { "" });
        return push(array, value, &gap);
    };
    let indent = indent.unwrap_or_else(|| format!("{closing}    "));
    value.decor_mut().set_prefix(format!("{}\n{indent}", before.trim_end()));
    push(array, value, &format!("\n{closing}"));
}

/// `end` comes to stand before the closing bracket.
fn push(array: &mut Array, value: Value, end: &str) {
    let last = array.len().checked_sub(1);
    if !array.trailing_comma()
        && let Some(last) = last.and_then(|last| array.get_mut(last))
    {
        last.decor_mut().set_suffix("");
    }
    array.push_formatted(value);
    array.set_trailing(end);
}

fn take_out(array: &mut Array, index: usize) {
    let Some(value) = array.get(index) else { return };
    let (before, own_suffix) = (prefix(value), suffix(value));
    let next = array.get(index + 1).map(prefix);
    let trailing = array.trailing().as_str().unwrap_or_default().to_owned();
    let after = format!("{own_suffix}{}", next.as_ref().unwrap_or(&trailing));
    // Its own line ends where the next begins: what stands on it goes.
    let gap = match after.find('\n') {
        Some(at) => format!("{}{}", before.trim_end(), &after[at..]),
        None if next.is_some() => before,
        None => after,
    };
    array.remove(index);
    match array.get_mut(index) {
        Some(next) => next.decor_mut().set_prefix(gap),
        None => array.set_trailing(gap),
    }
    if array.is_empty() {
        array.set_trailing_comma(false);
    }
}
