//! A page that needs nothing else: text, tables and plots in one HTML file.

use crate::figure::Figure;
use anyhow::Result;

/// Colours follow the reader's choice; the plots take the colour of the text.
const STYLE: &str = "\
:root{color-scheme:light dark;color:#1b1b1b;background:#fff}\
@media(prefers-color-scheme:dark){:root{color:#e4e4e4;background:#16181b}}\
body{font:16px/1.5 system-ui,sans-serif;max-width:90rem;margin:2rem auto;padding:0 1rem}\
.plots{display:flex;flex-wrap:wrap;gap:1.5rem}\
.plots svg{width:min(100%,42rem);height:auto}\
.wide{overflow-x:auto}\
table{border-collapse:collapse;margin:1rem 0}\
th,td{text-align:right;padding:.25rem .75rem;border-bottom:1px solid #8886}\
th:first-child,td:first-child{text-align:left}";

/// A page in the making.
pub struct Page {
    title: String,
    body: String,
}

impl Page {
    /// An empty page under `title`.
    pub fn new(title: &str) -> Self {
        Page { title: escaped(title), body: String::new() }
    }

    /// A heading of a section.
    pub fn heading(&mut self, text: &str) {
        self.body += &format!("<h2>{}</h2>\n", escaped(text));
    }

    /// A paragraph.
    pub fn paragraph(&mut self, text: &str) {
        self.body += &format!("<p>{}</p>\n", escaped(text));
    }

    /// A table with names of columns.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let row = |tag: &str, cells: &mut dyn Iterator<Item = &str>| -> String {
            let cells: String = cells.map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
            format!("<tr>{cells}</tr>\n")
        };
        self.body += "<div class=\"wide\"><table>\n";
        self.body += &row("th", &mut head.iter().copied());
        for cells in rows {
            self.body += &row("td", &mut cells.iter().map(String::as_str));
        }
        self.body += "</table></div>\n";
    }

    /// Plots side by side where there is room.
    ///
    /// # Errors
    /// If one cannot be drawn.
    pub fn plots<'a>(&mut self, figures: impl IntoIterator<Item = &'a Figure>) -> Result<()> {
        self.body += "<div class=\"plots\">\n";
        for figure in figures {
            self.body += &figure.svg()?;
        }
        self.body += "</div>\n";
        Ok(())
    }

    /// The file.
    pub fn html(&self) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width\">\n<title>{0}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{0}</h1>\n{1}\
             </body>\n</html>\n",
            self.title, self.body
        )
    }
}

/// `text` as content of an element: names of sets and files come from outside.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_text() {
        let mut page = Page::new("<script>a</script>");
        page.heading("<b>");
        page.paragraph("a & b");
        page.table(&["<i>"], &[vec!["<img src=x>".into()]]);
        let html = page.html();
        for tag in ["<script>", "<b>", "<i>", "<img"] {
            assert!(!html.contains(tag), "{tag} in {html}");
        }
        assert!(html.contains("a &amp; b"));
    }
}
