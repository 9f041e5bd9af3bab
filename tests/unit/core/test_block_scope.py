"""A block is in effect where it was opened, and nowhere else, in whatever order blocks open and end."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor, nn

from gandissect import Insertion, Scaling, UnitSet, intervene, trace
from gandissect.core import hooks

X = torch.ones(1, 1, 1, 1)


class Sum(nn.Module):
    """Ten times its first layer plus its second one, each of which puts out its input."""

    def __init__(self) -> None:
        super().__init__()
        self.tens, self.ones = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return 10 * self.tens(x) + self.ones(x)


network = Sum()


def scale(layer: str, factor: float) -> Scaling:
    return Scaling(UnitSet(layer, (0,)), factor)


def run() -> float:
    """11 if nothing is edited; digits are what the layers were multiplied by."""
    return float(network(X))


def edited(*edits: Scaling, count: int = 2) -> Generator[float]:
    with intervene(network, list(edits)):
        for _ in range(count):
            yield run()


@contextmanager
def editing(*edits: Scaling) -> Iterator[None]:
    with intervene(network, list(edits)):
        yield


@pytest.fixture
def tens_doubled() -> Iterator[None]:
    with intervene(network, [scale("tens", 2)]):
        yield
    assert run() == 11


def test_a_fixture_that_yields_edits_its_test(tens_doubled: None) -> None:
    assert run() == 21


def test_generator_functions_that_take_turns_edit_their_own_images_only() -> None:
    images = []
    for a, b in zip(edited(scale("tens", 2)), edited(scale("tens", 3), scale("ones", 4)), strict=True):
        images.append((a, run(), b))
    assert images == [(21, 11, 34)] * 2
    assert run() == 11


def test_a_generator_function_that_is_left_ends_its_edits() -> None:
    images = edited(scale("tens", 2), count=9)
    assert next(images) == 21 and run() == 11
    del images
    gc.collect()
    assert run() == 11


def test_a_generator_function_keeps_its_edits_in_whatever_thread_asks_for_the_next_value() -> None:
    images, values = edited(scale("tens", 2), count=3), []
    for _ in range(2):
        thread = threading.Thread(target=lambda: values.append(next(images)))
        thread.start()
        thread.join()
    assert [*values, *images] == [21, 21, 21]


def test_a_generator_function_that_delegates_edits_what_it_delegates_to() -> None:
    def plain() -> Iterator[float]:
        yield run()

    def outer() -> Iterator[float]:
        with intervene(network, [scale("ones", 3)]):
            yield from plain()
            yield from edited(scale("tens", 2), count=1)

    images = outer()
    assert (next(images), run(), next(images), run()) == (13, 11, 23, 11)


def test_helpers_that_enter_for_their_caller_edit_what_the_caller_runs() -> None:
    def through_a_stack() -> Iterator[float]:
        with ExitStack() as stack:
            stack.enter_context(editing(scale("tens", 2)))
            yield run()

    with editing(scale("tens", 2)):
        assert run() == 21
        assert next(through_a_stack()) == 41
        images = edited(scale("tens", 3))
        assert next(images) == 61
        assert run() == 21
    stepping = through_a_stack()
    assert (next(stepping), run()) == (21, 11)


class Switch:
    """Something that opens a block in one method and ends it in another."""

    def __init__(self, *edits: Scaling) -> None:
        self.block = intervene(network, list(edits))

    def on(self) -> None:
        self.block.__enter__()

    def off(self) -> None:
        self.block.__exit__(None, None, None)


def switched(*edits: Scaling) -> Iterator[float]:
    switch = Switch(*edits)
    switch.on()
    yield run()
    yield run()
    switch.off()


def test_a_method_that_opens_a_block_does_so_for_its_caller() -> None:
    images = switched(scale("tens", 2))
    assert [next(images), run(), next(images), run()] == [21, 11, 21, 11]
    assert next(images, None) is None
    switch = Switch(scale("tens", 2))
    switch.on()
    assert run() == 21
    switch.off()
    assert run() == 11


def test_blocks_that_an_expression_enters_are_its_function_s() -> None:
    with ExitStack() as stack:
        tuple(stack.enter_context(editing(scale("tens", factor))) for factor in (2, 3))
        assert run() == 61


def test_blocks_end_in_any_order() -> None:
    first, second, third = (intervene(network, [scale("tens", factor)]) for factor in (2, 3, 5))
    first.__enter__()
    second.__enter__()
    assert run() == 61
    first.__exit__(None, None, None)
    assert run() == 31
    third.__enter__()
    assert run() == 151
    second.__exit__(None, None, None)
    assert run() == 51
    third.__exit__(None, None, None)
    assert run() == 11


@given(st.permutations([2.0, 3.0, 5.0, 7.0] * 2))
def test_any_order_of_opening_and_ending_leaves_what_is_open(factors: list[float]) -> None:
    blocks, expected = {}, 1.0
    for factor in factors:  # the first time the block of a factor opens, the second time it ends
        if factor not in blocks:
            blocks[factor] = intervene(network, [scale("tens", factor)])
            blocks[factor].__enter__()
            expected *= factor
        else:
            blocks[factor].__exit__(None, None, None)
            expected /= factor
        assert run() == pytest.approx(10 * expected + 1)
    assert run() == 11


def test_a_context_that_was_copied_inside_a_block_is_plain_once_the_block_has_ended() -> None:
    with intervene(network, [scale("tens", 2)]):
        copied = contextvars.copy_context()
        assert copied.run(run) == 21
    assert copied.run(run) == 11


def test_tasks_keep_their_edits_apart() -> None:
    async def task(factor: float, image: list[float]) -> None:
        with intervene(network, [scale("tens", factor)]):
            await asyncio.sleep(0)
            image.append(run())
            image.append(await asyncio.to_thread(run))

    async def main() -> tuple[list[float], list[float], float]:
        two: list[float] = []
        three: list[float] = []
        await asyncio.gather(task(2, two), task(3, three))
        return two, three, run()

    assert asyncio.run(main()) == ([21, 21], [31, 31], 11)


def test_asynchronous_generator_functions_and_managers_do_as_the_others() -> None:
    async def images(factor: float) -> AsyncIterator[float]:
        with intervene(network, [scale("tens", factor)]):
            for _ in range(2):
                await asyncio.sleep(0)
                yield run()

    @asynccontextmanager
    async def doubling() -> AsyncIterator[None]:
        with intervene(network, [scale("ones", 2)]):
            yield

    async def main() -> list[float]:
        values = []
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(doubling())
            values.append(run())
        two, three = images(2), images(3)
        for _ in range(2):
            values += [await anext(two), run(), await anext(three)]
        await two.aclose()
        await three.aclose()
        async with doubling():
            values.append(run())
        return [*values, run()]

    assert asyncio.run(main()) == [12, 21, 11, 31, 21, 11, 31, 12, 11]


def test_a_trace_in_a_generator_function_sees_its_own_passes_only() -> None:
    def traced() -> Iterator[Tensor]:
        with trace(network, "tens") as record:
            network(X)
            yield record.output
            yield record.output

    outputs = traced()
    assert next(outputs) == 1
    network(5 * X)
    assert next(outputs) == 1


def test_a_block_whose_edit_never_ran_raises_at_its_end() -> None:
    class Direct(Sum):
        def forward(self, x: Tensor) -> Tensor:
            return 10 * self.tens.forward(x) + self.ones(x)

    direct = Direct()
    edits = [Insertion(UnitSet("tens", (0,)), 0.0), Insertion(UnitSet("ones", (0,)), 0.0)]
    with (
        pytest.raises(RuntimeError, match=r"edits of 'tens' had no effect.*not layer.forward"),
        intervene(direct, edits),
    ):
        assert float(direct(X)) == 10
    with pytest.raises(ZeroDivisionError), intervene(direct, edits):
        _ = 1 / 0
    with intervene(direct, edits[1:]):
        direct(X)
    with intervene(direct, []):
        pass


def test_importing_registers_no_hook() -> None:
    """A hook on all modules makes ``torch.compile`` of other networks warn."""
    code = (
        "import gandissect, generators, segmenters, apps; from gandissect import generate, intervene, trace;"
        "from torch.nn.modules import module; assert not module._has_any_global_hook()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_no_hook_is_left_when_all_blocks_have_ended() -> None:
    def has_hook() -> bool:
        return bool(torch.nn.modules.module._global_forward_hooks)

    first, second, third = intervene(network, [scale("tens", 2)]), editing(scale("ones", 3)), edited(scale("tens", 5))
    first.__enter__()
    second.__enter__()
    assert next(third) == 103 and run() == 23 and has_hook()
    first.__exit__(None, None, None)
    assert run() == 13 and next(third) == 53
    second.__exit__(None, None, None)
    assert has_hook()
    third.close()
    assert run() == 11 and not has_hook()


def test_a_block_that_ends_while_another_one_opens_does_not_wait_for_it() -> None:
    """Garbage is collected at any moment, and with it generator functions whose blocks are open."""
    images = edited(scale("tens", 2))
    assert next(images) == 21
    with hooks._LOCK:
        assert hooks._LOCK.acquire(blocking=False), "the thread that opens a block would wait for itself"
        hooks._LOCK.release()
        del images
    assert not hooks._OPEN and run() == 11
