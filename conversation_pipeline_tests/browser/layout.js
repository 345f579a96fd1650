// What is broken in a page as a browser lays it out: findings, not pixels. Run in the harness, over one frame a width.
const TOLERANCE = 1; // pixels that rounding may take

function findings(document, window) {
  const found = [];
  const tell = (kind, element, detail) =>
    found.push(`${kind}: <${element.tagName.toLowerCase()} class="${element.getAttribute("class") || ""}"> ${detail}`);
  const width = document.documentElement.clientWidth;
  const shown = [...document.body.querySelectorAll("*")].filter((element) => !isHidden(element, window));

  if (document.documentElement.scrollWidth > width + TOLERANCE)
    tell("wider than the window", document.body, `${document.documentElement.scrollWidth} of ${width}`);
  for (const element of shown) {
    const box = element.getBoundingClientRect();
    if (box.right > width + TOLERANCE || box.left < -TOLERANCE)
      tell("out of the window", element, `${Math.round(box.left)} to ${Math.round(box.right)} of ${width}`);
    if (!isFlat(element) && (box.width === 0 || box.height === 0)) tell("without size", element, "");
    if (isHtml(element) && element.clientWidth && element.scrollWidth > element.clientWidth + TOLERANCE)
      tell("content wider than its box", element, `${element.scrollWidth} of ${element.clientWidth}`);
  }

  const texts = shown.flatMap((element) => textsOf(element, document, window));
  for (const text of texts) {
    const card = text.element.closest("section, .tile, header, footer");
    const room = card && card.getBoundingClientRect();
    if (room && text.boxes.some((box) => box.right > room.right + TOLERANCE || box.left < room.left - TOLERANCE))
      tell("text out of its card", text.element, text.words);
    const ratio = contrast(text.colour, backgroundOf(text, document, window));
    if (ratio < (text.isLarge ? 3 : 4.5)) tell("contrast", text.element, `${ratio.toFixed(2)} of "${text.words}"`);
  }
  texts.forEach((one, place) =>
    texts.slice(place + 1).forEach((other) => {
      if (one.element !== other.element && one.boxes.some((box) => other.boxes.some((its) => overlap(box, its))))
        tell("texts overlap", one.element, `"${one.words}" and "${other.words}"`);
    }),
  );

  for (const plot of document.querySelectorAll("svg"))
    if (![...plot.querySelectorAll("rect, polyline, line")].some(isMark)) tell("plot without marks", plot, "");
  return found;
}

const isHtml = (element) => !(element instanceof element.ownerDocument.defaultView.SVGElement);

// What has no box of its own, or a line that may lie flat.
const isFlat = (element) => ["wbr", "title", "polyline", "line", "style", "br"].includes(element.tagName.toLowerCase())
  || element.matches(".rule") || (element.matches(".meter i") && element.style.width === "0.0%")
  || (["th", "td", "tr"].includes(element.tagName.toLowerCase()) && !element.textContent.trim());

function isHidden(element, window) {
  if (element.closest("thead") && window.getComputedStyle(element.closest("thead")).clipPath !== "none") return true;
  const style = window.getComputedStyle(element);
  return style.display === "none" || style.visibility === "hidden" || element.tagName === "STYLE";
}

function isMark(element) {
  const box = element.getBoundingClientRect();
  return box.width + box.height > 0 || element.matches("line.end");
}

function textsOf(element, document, window) {
  const style = window.getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  return [...element.childNodes]
    .filter((node) => node.nodeType === 3 && node.textContent.trim() && element.tagName !== "title")
    .map((node) => {
      const range = document.createRange();
      range.selectNodeContents(node);
      return {
        element,
        words: node.textContent.trim().slice(0, 40),
        boxes: [...range.getClientRects()],
        colour: colour(isHtml(element) ? style.color : style.fill),
        isLarge: size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700),
      };
    });
}

// Lines of text reach a little into each other's leading: a third of the height is an overlap.
function overlap(one, other) {
  const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left);
  const high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
  return wide > 2 && high > Math.min(one.height, other.height) / 3;
}

// In a picture the mark that the text stands on, else the nearest ancestor that is painted.
function backgroundOf(text, document, window) {
  const picture = text.element.closest("svg");
  if (picture) {
    const [box] = text.boxes;
    const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    const under = [...picture.querySelectorAll("rect")].filter((mark) => {
      const its = mark.getBoundingClientRect();
      return its.left <= x && x <= its.right && its.top <= y && y <= its.bottom;
    });
    const painted = under.map((mark) => colour(window.getComputedStyle(mark).fill)).filter((fill) => fill);
    if (painted.length) return painted.at(-1);
  }
  for (let element = text.element; element; element = element.parentElement) {
    const painted = colour(window.getComputedStyle(element).backgroundColor);
    if (painted) return painted;
  }
  return [255, 255, 255];
}

function colour(css) {
  const parts = (css.match(/[\d.]+/g) || []).map(Number);
  return parts.length < 3 || parts[3] === 0 ? null : parts.slice(0, 3);
}

// WCAG 2.2, contrast ratio of relative luminances.
function contrast(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(rgb) {
  const [r, g, b] = rgb.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
