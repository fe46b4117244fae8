// The brain from the keyboard: arrows turn it under a cross that stays in the middle of a hemisphere, Enter chooses what lies under it.

const STEP = 20, ZOOM = 1.2; // pixels of a drag, and a factor

/**
 * view: { stage, canvas, cross, isReady, drag, zoom, reset, choose, hover, click, middle, wait }: what the viewer does, and what it says of
 * pixels. -> { press, focus, leave }, to be called as keys, focus and the pointer come.
 */
export function createKeys(view) {
  let hemi = "lh";

  const middle = () => view.middle(hemi); // of the place that it has while nothing was moved

  /** Put the cross in the middle and say what lies under it. */
  function aim() {
    const [x, y] = middle();
    view.cross.hidden = false;
    view.cross.style.transform = `translate(${x}px, ${y}px) translate(-50%, -50%)`;
    view.hover(x, y);
  }

  function other() {
    hemi = hemi === "lh" ? "rh" : "lh";
  }

  function press(event) {
    const turn = (dx, dy) => () => view.drag(dx * STEP, dy * STEP, "lh", event.shiftKey);
    const centre = [view.stage.clientWidth / 4, view.stage.clientHeight / 2];
    const keys = {
      ArrowLeft: turn(-1, 0), ArrowRight: turn(1, 0), ArrowUp: turn(0, -1), ArrowDown: turn(0, 1),
      "+": () => view.zoom(ZOOM, ...centre), "=": () => view.zoom(ZOOM, ...centre), "-": () => view.zoom(1 / ZOOM, ...centre),
      0: view.reset, Home: view.reset, Escape: () => view.choose(null), h: other, H: other, Enter: () => view.click(...middle()),
    };
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey || !view.isReady()) return;
    event.preventDefault();
    keys[event.key]();
    view.wait(aim); // until it is drawn as it is now
  }

  return {
    press,
    focus: () => { if (view.isReady() && view.canvas.matches(":focus-visible")) aim(); },
    leave: () => { view.cross.hidden = true; },
  };
}
