//! `cargo xtask browser`: opens the pages of `explain --format html` in a browser, clicks, and looks whether all is there.
//!
//! A browser is not Rust: it is installed here, and no test of the crates needs it. Pictures of what was looked at stay in
//! `target/browser`, for eyes.

mod driver;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{XtaskError, artifacts, debian, process, root};
use driver::{Driver, View};

/// What a browser needs, and the program that says whether it is there.
const PACKAGES: &[(&str, &str)] = &[("chromium", "chromium"), ("chromium-driver", "chromedriver")];

const ARTICLE: &str = "bpf-progs/tail_kern.o";
const LARGE: &str = "tests/fixtures/large/large.o";

/// A large page opens within this, in **milliseconds**.
const OPENS_WITHIN: f64 = 1000.0;

/// A page of a large object is smaller, in **bytes**.
const SMALLER_THAN: u64 = 2_000_000;

/// Every page is looked at like this.
const VIEWS: &[View] = &[
    View { width: 1280, dark: false },
    View { width: 1280, dark: true },
    View { width: 390, dark: false },
    View { width: 390, dark: true },
];

/// Parts that pictures are taken of.
const PARTS: &[&str] =
    &["file", "sections", "maps", "programs", "code", "relocations", "graph", "plan", "kernel"];

/// What `cargo xtask browser` looks at.
#[derive(Clone, Debug, clap::Args)]
pub struct Browser {
    /// Another large object than the committed one
    #[arg(long, value_name = "OBJECT")]
    large: Option<PathBuf>,
}

/// Opens the pages, and says what is not as it should be.
///
/// # Errors
/// [`XtaskError::Page`] with everything that is wrong; [`XtaskError::Driver`] or [`XtaskError::Browser`] if the browser
/// cannot be driven.
pub fn run(wanted: &Browser) -> Result<(), XtaskError> {
    let missing =
        PACKAGES.iter().filter(|(_, program)| !process::succeeds(Command::new(program).arg("--version")));
    debian::install(&missing.map(|(package, _)| *package).collect::<Vec<_>>())?;
    let pages = Pages::make(wanted)?;
    let driver = Driver::start()?;
    let mut look = Look { driver: &driver, folder: &pages.folder, problems: Vec::new() };
    for page in &pages.all {
        look.page(page)?;
    }
    look.clicks(&pages.article)?;
    look.without_scripts(&pages.article)?;
    look.opens_fast(&pages.large)?;
    eprintln!("xtask: pictures are in {}", pages.folder.display());
    if look.problems.is_empty() { Ok(()) } else { Err(XtaskError::Page { problems: look.problems }) }
}

/// The pages.
struct Pages {
    folder: PathBuf,
    article: PathBuf,
    large: PathBuf,
    all: Vec<PathBuf>,
}

impl Pages {
    fn make(wanted: &Browser) -> Result<Self, XtaskError> {
        let built = artifacts::build(&["build", "--package", "rxdp-load"], &artifacts::Settings::default())?;
        let program = artifacts::program(&built, "rxdp-load")?;
        let folder = root().join("target/browser");
        fs::create_dir_all(&folder).map_err(|source| XtaskError::Write { path: folder.clone(), source })?;
        let page = |name: &str, object: &Path, more: &[&str]| {
            let page = folder.join(name);
            let mut explain = Command::new(&program);
            explain
                .current_dir(root())
                .arg("explain")
                .arg(object)
                .args(["--format", "html", "-o"])
                .arg(&page);
            process::run(explain.args(more)).map(|()| page)
        };
        let article = page("article.html", Path::new(ARTICLE), &[])?;
        let large = page("large.html", wanted.large.as_deref().unwrap_or(Path::new(LARGE)), &[])?;
        let mut all = vec![article.clone(), large.clone()];
        if nix::unistd::geteuid().is_root() {
            all.push(page("live.html", Path::new(ARTICLE), &["--live"])?);
        } else {
            eprintln!("xtask: not root, so no page with the kernel's answers is looked at");
        }
        Ok(Self { folder, article, large, all })
    }
}

/// What is looked at, and what was wrong with it.
struct Look<'a> {
    driver: &'a Driver,
    folder: &'a Path,
    problems: Vec<String>,
}

impl Look<'_> {
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(what());
        }
    }

    /// One page in every view: nothing is cut off, nothing was loaded or refused.
    fn page(&mut self, page: &Path) -> Result<(), XtaskError> {
        let name = page.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for view in VIEWS {
            let how = format!("{name}-{}-{}", view.width, if view.dark { "dark" } else { "light" });
            self.driver.view(*view)?;
            self.driver.open(page)?;
            for part in PARTS {
                self.driver.ask(&format!("document.getElementById({part:?})?.scrollIntoView()"))?;
                self.driver.picture(&self.folder.join(format!("{how}-{part}.png")))?;
                let beyond = self.driver.ask(&BEYOND.replace("WIDTH", &view.width.to_string()))?;
                self.expect(beyond == Value::Array(Vec::new()), || {
                    format!("{how}, {part}: cut off: {beyond}")
                });
            }
            let wide = self.driver.ask("document.documentElement.scrollWidth")?;
            let fits = wide.as_u64().is_some_and(|wide| wide <= u64::from(view.width));
            self.expect(fits, || format!("{how}: the page is {wide} wide"));
            let loaded = self.driver.ask("performance.getEntriesByType('resource').length")?;
            self.expect(loaded == 0, || format!("{how}: {loaded} things were loaded"));
        }
        self.driver.print(&self.folder.join(format!("{name}.pdf")))?;
        let said = self.driver.console()?;
        self.expect(said.is_empty(), || format!("{name}: on the console: {}", said.join("; ")));
        Ok(())
    }

    /// What the script does: before and after, and the panel.
    fn clicks(&mut self, page: &Path) -> Result<(), XtaskError> {
        let changed = "#f0-20";
        self.driver.view(View { width: 1280, dark: false })?;
        self.driver.open(page)?;
        for (view, before, after) in [("before", true, false), ("after", false, true), ("both", true, true)] {
            self.driver.click(&format!("#relocations .choice [data-view={view}]"))?;
            for (class, wanted) in [("before", before), ("after", after)] {
                for place in [changed, "#change-0-20"] {
                    let seen = self.driver.ask(&seen(&format!("{place} .{class}")))?;
                    self.expect(seen == wanted, || format!("{view}: {place} .{class} is seen: {seen}"));
                }
            }
        }
        self.driver.point_at(&format!("{changed} summary"))?;
        let panel = self.text("#look")?;
        for word in
            ["xdp_prog+20", "r2 = 0x0", "r2 = map[jmp_table1]", "bpf_tail_call(ctx", "symbol: jmp_table1"]
        {
            self.expect(panel.contains(word), || {
                format!("pointing at {changed} does not show {word:?}: {panel:?}")
            });
        }
        self.driver.picture(&self.folder.join("clicks-panel.png"))?;
        self.driver.point_at("#f0 .code p:not(.s)")?;
        let panel = self.text("#look")?;
        for word in ["xdp_prog+0", "r6 = r1", "bf 16 00 00", "int xdp_prog(struct xdp_md *ctx)"] {
            self.expect(panel.contains(word), || {
                format!("pointing at slot 0 does not show {word:?}: {panel:?}")
            });
        }
        self.opens(changed)
    }

    /// An instruction opens, with or without the script.
    fn opens(&mut self, changed: &str) -> Result<(), XtaskError> {
        self.driver.click(&format!("{changed} summary"))?;
        let seen = self.driver.ask(&seen(&format!("{changed} dl")))?;
        self.expect(seen == true, || format!("a click on {changed} does not open it"));
        let facts = self.text(&format!("{changed} dl"))?;
        for word in ["jmp_table1", "a 64-bit load, and the symbol's place", "bpf_tail_call(ctx"] {
            self.expect(facts.contains(word), || format!("{changed} does not say {word:?}: {facts:?}"));
        }
        Ok(())
    }

    /// All but the choice between before and after is there without the script.
    fn without_scripts(&mut self, page: &Path) -> Result<(), XtaskError> {
        self.driver.open(page)?;
        let with = self.text("main")?;
        self.driver.scripts(false)?;
        self.driver.open(page)?;
        let without = self.text("main")?;
        for selector in [".choice", "#look"] {
            let seen = self.driver.ask(&seen(selector))?;
            self.expect(seen == false, || format!("without the script, {selector} is seen and does nothing"));
        }
        let words = with.replace("before and after\nbefore\nafter\n", "");
        let lost = words.lines().find(|line| !without.contains(line));
        self.expect(lost.is_none(), || format!("without the script, this is not there: {lost:?}"));
        self.expect(words.len() > 5000, || format!("only {} letters were compared", words.len()));
        self.opens("#f0-20")?;
        self.driver.scripts(true)
    }

    fn opens_fast(&mut self, page: &Path) -> Result<(), XtaskError> {
        let size =
            fs::metadata(page).map_err(|source| XtaskError::Read { path: page.to_path_buf(), source })?.len();
        self.expect(size < SMALLER_THAN, || format!("the large page has {size} bytes"));
        let mut fastest = f64::INFINITY;
        for width in [1280, 390, 1280, 390] {
            self.driver.view(View { width, dark: false })?;
            self.driver.open(page)?;
            let took = self.driver.ask("performance.getEntriesByType('navigation')[0].loadEventEnd")?;
            fastest = fastest.min(took.as_f64().unwrap_or(f64::INFINITY));
        }
        eprintln!("xtask: the large page has {size} bytes and opens in {fastest:.0} ms");
        self.expect(fastest < OPENS_WITHIN, || format!("the large page opens in {fastest:.0} ms"));
        Ok(())
    }

    fn text(&self, selector: &str) -> Result<String, XtaskError> {
        let text = self.driver.ask(&format!("document.querySelector({selector:?}).innerText"))?;
        Ok(text.as_str().unwrap_or_default().to_string())
    }
}

fn seen(selector: &str) -> String {
    format!("document.querySelector({selector:?}).checkVisibility()")
}

/// Names what reaches beyond the window and does not scroll in a box of its own. The width is the one that was asked for: a
/// phone zooms out until a page that is too wide fits, and says so of its window.
const BEYOND: &str = "[...document.querySelectorAll('body *')]
    .filter((e) => !e.closest('.wide, .code, pre, svg, .skip') && e.checkVisibility())
    .filter((e) => { const r = e.getBoundingClientRect(); return r.right > WIDTH + 1 || r.left < -1; })
    .slice(0, 3).map((e) => e.outerHTML.slice(0, 80))";
