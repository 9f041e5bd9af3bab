"""A background task on a page: its progress, a button to cancel it, and its result."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import streamlit as st

from .resources import escape
from .tasks import Tasks


@st.cache_resource(scope="session", on_release=Tasks.stop_all, show_spinner=False)
def visitor_tasks() -> Tasks:
    """Return the tasks of this visitor; they are canceled when the session ends, since others wait for their turn."""
    return Tasks()


def follow_task(key: Hashable, title: str, entry: str | None = None, shared: Tasks | None = None) -> Any:
    """Return the value of a task; until then, or on failure, show its progress or error and return None.

    Args:
        key: Key of the task.
        title: Description of the task, as plain text.
        entry: Session entry that requested the task; removed when the task is canceled.
        shared: Tasks of all visitors, which none of them can cancel; this visitor's own tasks if None.
    """
    tasks = visitor_tasks() if shared is None else shared
    task = tasks.get(key)
    if task is None:
        return None
    if not task.result.done():
        show_progress(key, title, entry, shared)
    elif (error := task.result.exception()) is not None:
        show_failure(key, title, error, tasks)
    return task.value


def show_failure(key: Hashable, title: str, error: BaseException, tasks: Tasks) -> None:
    """Show the error of a task, and offer to retry it."""
    st.error(f"{escape(title)}: {escape(str(error) or type(error).__name__)}")
    st.button("Try again", key=f"again {key}", on_click=tasks.stop, args=(key,), icon=":material/refresh:")


@st.fragment(run_every=0.7)
def show_progress(key: Hashable, title: str, entry: str | None, shared: Tasks | None) -> None:
    """Show the progress of a task; rerun the page when it is done."""
    task = (visitor_tasks() if shared is None else shared).get(key)
    if task is None or task.result.done():
        st.rerun(scope="app")
    not_counted = "starting" if task.begun else "waiting for other tasks"
    status = f"{min(task.done, task.total)} of about {task.total} pictures" if task.done else not_counted
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(task.share, f"{escape(title)}: {status}")
        if shared is None:
            st.button("Cancel", key=f"cancel {key}", on_click=_stop, args=(key, entry), icon=":material/close:")


def _stop(key: Hashable, entry: str | None) -> None:
    visitor_tasks().stop(key)
    if entry is not None:
        st.session_state.pop(entry, None)
