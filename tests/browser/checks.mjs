// What every page of the console must hold, whatever it shows. Runs in the page.

/** Text whose contrast is below WCAG AA, as sentences. */
export function lowContrast() {
  const channel = (value) => {
    const c = value / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parsed = (text) => {
    const found = text.match(/rgba?\(([^)]+)\)/);
    if (!found) return null;
    const [r, g, b, a = 1] = found[1].split(/[ ,/]+/).filter(Boolean).map(Number);
    return { rgb: [r, g, b], alpha: a };
  };
  const over = (top, alpha, below) => top.map((c, i) => c * alpha + below[i] * (1 - alpha));
  const background = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      const colour = parsed(getComputedStyle(each).backgroundColor);
      if (colour && colour.alpha > 0) layers.push(colour);
      if (colour && colour.alpha === 1) break;
    }
    return layers.reverse().reduce((below, each) => over(each.rgb, each.alpha, below), [255, 255, 255]);
  };
  const low = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
    if (element.closest("[disabled], [aria-hidden=true], option, script, style")) continue;
    const style = getComputedStyle(element);
    const svg = element.closest("svg");
    const ink = parsed(svg ? style.fill : style.color);
    if (!ink) continue;
    const paper = background(svg ? svg.parentElement : element);
    const shown = over(ink.rgb, ink.alpha * Number(style.opacity), paper);
    const [light, dark] = [luminance(shown), luminance(paper)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) low.add(`${ratio.toFixed(2)} "${text.slice(0, 40)}"`);
  }
  return [...low].slice(0, 10);
}

/** Controls and pictures without a name that can be read out. */
export function unnamed() {
  const named = (each) =>
    each.getAttribute("aria-label") || each.getAttribute("aria-labelledby") || each.title ||
    each.textContent.trim() || each.alt || (each.labels && each.labels.length) ||
    each.querySelector?.("title");
  return [...document.querySelectorAll("a, button, input:not([type=hidden]), select, textarea, svg[role=img], img")]
    .filter((each) => each.checkVisibility() && !named(each))
    .map((each) => each.outerHTML.slice(0, 80))
    .slice(0, 10);
}

/** Whether the page scrolls sideways, and by how many pixels. */
export function sideways() {
  return document.documentElement.scrollWidth - document.documentElement.clientWidth;
}

/** Ids that stand twice: the stream could only replace the first. */
export function doubled() {
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  return [...new Set(ids.filter((each, i) => ids.indexOf(each) !== i))];
}
