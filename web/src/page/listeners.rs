//! Events of the document -> the page.

use super::{Page, on};
use crate::benchmark::page::is_here as is_benchmark;
use crate::download::describe;
use crate::link::Link;
use crate::message::Failure;
use crate::offline::Keeper;
use crate::samples::{Sample, fetch_samples};
use crate::state::Picture;
use crate::view::{sample_name, set_dragging};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{ClipboardEvent, DragEvent, Element, Event, HtmlInputElement, KeyboardEvent, MouseEvent};

/// Connects the document's events with `page`.
pub(super) fn listen(page: &Page) -> Result<(), JsValue> {
    let (view, link) = (&page.view, &page.link);
    let document = view.document();

    let (input, on_change) = (view.input()?, link.clone());
    on(view.input()?.as_ref(), "change", move |_: Event| {
        let files = input.files();
        on_change.update(|page| page.take(files));
        // Else the same file, chosen once more, would be no change.
        input.set_value("");
    })?;

    let (on_drop, marked) = (link.clone(), document.clone());
    on(document, "drop", move |event: DragEvent| {
        event.prevent_default();
        set_dragging(&marked, false);
        // What is dropped on the benchmark is for it.
        if !is_benchmark() {
            on_drop.update(|page| page.take(event.data_transfer().and_then(|data| data.files())));
        }
    })?;
    for (name, dragging) in [("dragover", true), ("dragleave", false)] {
        let marked = document.clone();
        on(document, name, move |event: DragEvent| {
            // Without this the browser would leave the page for the dropped file.
            event.prevent_default();
            set_dragging(&marked, dragging);
        })?;
    }

    let on_paste = link.clone();
    on(document, "paste", move |event: ClipboardEvent| {
        if !is_benchmark() {
            on_paste.update(|page| page.take(event.clipboard_data().and_then(|data| data.files())));
        }
    })?;

    let on_retry = link.clone();
    on(view.element("retry")?.as_ref(), "click", move |_: Event| on_retry.update(Page::retry))?;
    let on_check = link.clone();
    on(view.element("check")?.as_ref(), "click", move |_: Event| on_check.update(Page::check_device))?;
    let on_camera = link.clone();
    on(view.element("camera")?.as_ref(), "click", move |_: Event| on_camera.update(Page::ask_for_camera))?;
    let on_stop = link.clone();
    on(view.element("film-stop")?.as_ref(), "click", move |_: Event| on_stop.update(Page::stop))?;
    let on_explain = link.clone();
    on(view.element("explain")?.as_ref(), "click", move |_: Event| on_explain.update(Page::explain))?;
    let on_seek = link.clone();
    on(view.element("timeline")?.as_ref(), "click", move |event: MouseEvent| {
        on_seek.update(|page| page.seek(&event));
    })?;
    // Boxes follow the video while it is looked at again.
    let on_time = link.clone();
    on(view.element("film-video")?.as_ref(), "timeupdate", move |_: Event| on_time.update(|_| {}))?;
    let on_cancel = link.clone();
    on(view.element("queue-stop")?.as_ref(), "click", move |_: Event| on_cancel.update(Page::empty_queue))?;
    let on_escape = link.clone();
    on(document, "keydown", move |event: KeyboardEvent| {
        if event.key() == "Escape" {
            on_escape.update(Page::cancel);
        }
    })?;
    let on_entry = link.clone();
    on(view.element("history-list")?.as_ref(), "click", move |event: Event| {
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let button = target.and_then(|target| target.closest("[data-entry]").ok().flatten());
        let at = button.and_then(|button| button.get_attribute("data-entry")?.parse().ok());
        if let Some(at) = at {
            on_entry.update(|page| page.show_entry(at));
        }
    })?;
    let on_forget = link.clone();
    on(view.element("history-clear")?.as_ref(), "click", move |_: Event| {
        on_forget.update(|page| page.state.history.clear());
    })?;
    on(view.element("print")?.as_ref(), "click", move |_: Event| {
        // A browser that does not print has said so itself.
        let _ = web_sys::window().map(|window| window.print());
    })?;
    let (choice, printed) = (view.typed::<HtmlInputElement>("print-picture")?, document.clone());
    on(view.element("print-picture")?.as_ref(), "change", move |_: Event| {
        if let Some(body) = printed.body() {
            // Refused are only empty words and words with spaces.
            let _ = body.class_list().toggle_with_force("no-picture-in-print", !choice.checked());
        }
    })?;
    let on_stop_loading = link.clone();
    on(view.element("stop-loading")?.as_ref(), "click", move |_: Event| {
        on_stop_loading.update(Page::stop_loading);
    })?;
    for (name, act) in [("update-now", Keeper::switch as fn(&Keeper)), ("offline-forget", Keeper::forget)] {
        let clicked = link.clone();
        on(view.element(name)?.as_ref(), "click", move |_: Event| {
            clicked.update(|page| page.keeper.iter().for_each(act));
        })?;
    }
    let on_second = link.clone();
    on(view.element("second")?.as_ref(), "click", move |_: Event| on_second.update(Page::ask_second_opinion))
}

/// Offers the samples of this site, if it has any.
pub(super) async fn show_samples(link: Link<Page>) {
    let samples = fetch_samples().await;
    link.update(|page| {
        for (number, sample) in (1..).zip(samples) {
            let clicked = page.link.clone();
            let shown = page.view.add_sample(number, &sample).and_then(|button| {
                on(button.as_ref(), "click", move |_: Event| {
                    spawn_local(judge_sample(clicked.clone(), sample.clone(), number));
                })
            });
            if let Err(error) = shown {
                page.fail(Failure::new("page", describe(&error)));
            }
        }
    });
}

async fn judge_sample(link: Link<Page>, sample: Sample, number: u32) {
    let mut id = 0;
    link.update(|page| {
        page.last_id += 1;
        id = page.last_id;
    });
    let fetched = sample.fetch().await;
    link.update(|page| match fetched {
        // Something else was chosen meanwhile.
        _ if page.last_id != id => {}
        Ok(picture) => {
            page.judge(
                picture,
                Picture { name: sample_name(number), sample: Some(sample), is_report: false },
            );
        }
        Err(_) => {
            let message =
                format!("sample {number} did not load; check the connection, or choose a picture of yours");
            page.fail(Failure::new("sample_load", message));
        }
    });
}
