"""A visitor's long work on a page: how far it is, a button to call it off, and its result."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import streamlit as st

from .resources import escape
from .tasks import Tasks


@st.cache_resource(scope="session", on_release=Tasks.stop_all, show_spinner=False)
def visitor_tasks() -> Tasks:
    """Return the tasks of this visitor; they are called off when he leaves, since others wait for their turn."""
    return Tasks()


def follow_task(key: Hashable, title: str, entry: str | None = None, shared: Tasks | None = None) -> Any:
    """Return the value of a task; None, with its progress or its error on the page, if there is none yet.

    Args:
        key: The task's key.
        title: What is being done, plain words.
        entry: The entry of the session for which it is done; it goes when the task is called off.
        shared: The tasks of all visitors among which it is, which none of them calls off; else it is this visitor's.
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
    """Say what went wrong with a task, and offer to begin it again."""
    st.error(f"{escape(title)}: {escape(str(error) or type(error).__name__)}")
    st.button("Try again", key=f"again {key}", on_click=tasks.stop, args=(key,), icon=":material/refresh:")


@st.fragment(run_every=0.7)
def show_progress(key: Hashable, title: str, entry: str | None, shared: Tasks | None) -> None:
    """Show how far a task is; draw the page anew when it is over."""
    task = (visitor_tasks() if shared is None else shared).get(key)
    if task is None or task.result.done():
        st.rerun(scope="app")
    beginning = "beginning" if task.begun else "waiting for its turn"
    status = f"{min(task.done, task.total)} of about {task.total} pictures" if task.done else beginning
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.progress(task.share, f"{escape(title)}: {status}")
        if shared is None:
            st.button("Cancel", key=f"cancel {key}", on_click=_stop, args=(key, entry), icon=":material/close:")


def _stop(key: Hashable, entry: str | None) -> None:
    visitor_tasks().stop(key)
    if entry is not None:
        st.session_state.pop(entry, None)
