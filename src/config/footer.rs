//! The footer templates of a sender: files that the config names, read and checked with it.

use std::path::Path;

use super::place;
use super::reader::Section;
use crate::mail::Language;
use crate::message::{Flavour, Template, Templates};

/// Read all `[[sender.footer]]` tables of one sender.
pub(super) fn footers(sender: &Section<'_>) -> Templates {
    let mut templates = Templates::default();
    for section in sender.sections("footer") {
        let language = section.choice("language", &Language::ALL.map(|one| (one.code(), one)));
        let text = template(&section, "text_file", Flavour::Text);
        let html = template(&section, "html_file", Flavour::Html);
        if !section.has("text_file") && !section.has("html_file") {
            section.error_here("has neither text_file nor html_file; write the template that it is about");
        }
        text.into_iter().chain(html).for_each(|template| templates.set(language, template));
        section.finish();
    }
    templates
}

fn template(section: &Section<'_>, key: &'static str, flavour: Flavour) -> Option<Template> {
    let file = section.text(key)?;
    let path = Path::new(&file.value);
    let text = place::text(path).map_err(|message| section.error_at(&file, message)).ok()?;
    Template::parse(&text, flavour)
        .map_err(|error| section.error_at(&file, format!("{}, {error}", path.display())))
        .ok()
}
