/* Draws figures that the server built with plotly.py and put into the page as JSON:
     <div class="qm-chart" data-chart="cost-figure" data-mode="daily" role="img" aria-label="…"></div>
     {{ figure|json_script:"cost-figure" }}
   The server decides what is drawn: traces, names, hover texts, tick texts, all translated. This file decides how it looks.
   A trace says what it is by its `meta`:
     role  "part" (a stacked bar), "forecast" (an outlined bar), "previous" (a dashed step line), "total" (invisible, for the
           hover only), "line" and "expected" (solid and dashed lines)
     color "c1" to "c6", the token of a part or line; the same number as the swatch in the table that is the legend
     mode  shown only while the chart is in this mode (the box's data-mode)
     url   where a click leads
   and the layout's `meta` may hold `modes` {mode: layout}, `narrow` (layout below 768 px) and `words` (names of days and months). */
const CONFIG = { displayModeBar: false, responsive: true, showTips: false, doubleClick: false, displaylogo: false };
const PHONE_PX = 768;
const PAPER = { autosize: false, height: 150, width: 960 };
const root = document.documentElement;
let printing = false;

const css = (name) => getComputedStyle(root).getPropertyValue(`--qm-${name}`).trim();

// Each role's look; the trace's own values win nowhere, so that all charts of the product look alike.
function dress(trace) {
  const { role, mode, color = 'c1' } = trace.meta ?? {};
  const looks = {
    part: { marker: { color: css(color), line: { width: 0.75, color: css('surface') } } },
    forecast: { marker: { color: css('forecast-fill'), line: { width: 1, color: css('forecast') } } },
    previous: { mode: 'lines', line: { color: css('prev'), width: 1.25, dash: '3px,2px', shape: mode === 'cumulative' ? 'linear' : 'hvh' } },
    total: { mode: 'lines', line: { width: 0 }, opacity: 0 },
    line: { mode: 'lines', line: { color: css(color), width: 2.5 } },
    expected: { mode: 'lines', line: { color: css(color), width: 2, dash: '4px,3px' } },
  };
  const dressed = merge(merge({}, trace), looks[role]);
  // Plotly writes <b> as a style attribute, which the content security policy refuses.
  if (dressed.hovertemplate) dressed.hovertemplate = String(dressed.hovertemplate).replace(/<\/?(b|i|em|strong)>/g, '');
  return dressed;
}

const isPlain = (value) => Boolean(value) && typeof value === 'object' && !Array.isArray(value);

function merge(base, extra = {}) {
  for (const [key, value] of Object.entries(extra))
    base[key] = isPlain(value) ? merge(isPlain(base[key]) ? base[key] : {}, value) : value;
  return base;
}

function look() {
  const family = getComputedStyle(document.body).fontFamily;
  return {
    font: { family, size: 12, color: css('text-3') },
    paper_bgcolor: 'rgba(0,0,0,0)',
    plot_bgcolor: 'rgba(0,0,0,0)',
    autosize: true,
    showlegend: false,
    margin: { l: 44, r: 4, t: 18, b: 26, pad: 0 },
    hovermode: 'x unified',
    dragmode: false,
    bargap: 0.28,
    barmode: 'stack',
    barcornerradius: 2,
    hoverlabel: {
      bgcolor: css('surface'),
      bordercolor: css('line-2'),
      font: { family, size: 12, color: css('text') },
      align: 'left',
      namelength: -1,
    },
    xaxis: {
      type: 'date',
      showgrid: false,
      showspikes: false,
      zeroline: false,
      showline: true,
      linecolor: css('line-2'),
      ticks: '',
      fixedrange: true,
      automargin: false,
      tickfont: { size: 11 },
    },
    yaxis: {
      gridcolor: css('grid'),
      gridwidth: 1,
      zeroline: false,
      showline: false,
      ticks: '',
      fixedrange: true,
      rangemode: 'tozero',
      nticks: 5,
      tickfont: { size: 11 },
    },
  };
}

// plotly.py fills figures with its own template (colors, fonts); ours replaces it.
function prepared(figure, mode) {
  const { modes = {}, narrow } = figure.layout?.meta ?? {};
  const layout = merge(merge(look(), figure.layout), modes[mode]);
  if (innerWidth < PHONE_PX && !printing) merge(layout, narrow);
  delete layout.template;
  delete layout.meta;
  for (const note of layout.annotations ?? [])
    Object.assign(note, { showarrow: false, font: { size: 11, color: css(note.name === 'warn' ? 'warn' : 'text-2') } });
  for (const shape of layout.shapes ?? []) shape.line = { color: css(shape.name === 'warn' ? 'warn-fill' : 'line-2'), width: 1 };
  const traces = figure.data.filter(({ meta }) => !meta?.mode || meta.mode === mode);
  return [traces.map(dress), printing ? Object.assign(layout, PAPER) : layout];
}

// Plotly follows the window; a box also changes when the page around it does.
const boxes = new ResizeObserver((entries) => {
  requestAnimationFrame(() => {
    for (const { target: box } of entries) {
      const drawn = box.querySelector('.main-svg');
      if (printing || !drawn || !box.clientWidth || Math.abs(drawn.clientWidth - box.clientWidth) < 2) continue;
      window.Plotly.Plots.resize(box);
    }
  });
});

function draw(box) {
  const source = document.getElementById(box.dataset.chart);
  if (!source || !window.Plotly) return;
  const figure = JSON.parse(source.textContent);
  const [traces, layout] = prepared(figure, box.dataset.mode);
  window.Plotly.react(box, traces, layout, { ...CONFIG, ...spoken(figure) });
  if (box.dataset.drawn) return;
  box.dataset.drawn = 'true';
  boxes.observe(box);
  box.on('plotly_click', ({ points }) => {
    const address = points[0]?.data.meta?.url;
    if (address) location.assign(address);
  });
}

// The names of days and months in the page's language; Plotly itself knows only English.
function spoken({ layout }) {
  const words = layout?.meta?.words;
  return words ? { locale: 'page', locales: { page: { dictionary: {}, format: words } } } : {};
}

const drawAll = () => document.querySelectorAll('[data-chart]').forEach(draw);

document.addEventListener('qm:theme', drawAll);
document.addEventListener('qm:content', drawAll);
document.addEventListener('qm:seg', (event) => {
  const card = event.target.closest('.qm-card');
  const box = card?.querySelector('[data-chart]');
  if (!box) return;
  box.dataset.mode = event.detail;
  for (const key of card.querySelectorAll('[data-key]')) key.hidden = key.dataset.key !== event.detail;
  draw(box);
});

let isWide = innerWidth >= PHONE_PX;
addEventListener('resize', () => {
  if (isWide === innerWidth >= PHONE_PX) return;
  isWide = !isWide;
  drawAll();
});

// On paper charts are shorter.
for (const event of ['beforeprint', 'afterprint'])
  addEventListener(event, () => {
    printing = event === 'beforeprint';
    drawAll();
  });
document.fonts.ready.then(drawAll);
