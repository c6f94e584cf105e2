// Judges a picture with the bundle in this folder. The folder lies in `models` of AWARE's built page (`dist`), whose worker
// does the work: it takes the bundle's folder as its name, loads and verifies it, and answers messages.

const show = (id, text) => (document.getElementById(id).textContent = text);
const picture = document.getElementById('picture');

// Where the page's policy asks for it (Trusted Types), a worker's address is vouched for by name.
const policy = globalThis.trustedTypes?.createPolicy('aware', { createScriptURL: (url) => url });
const script = new URL('../../worker_loader.js', import.meta.url).href;
const engine = new Worker(policy ? policy.createScriptURL(script) : script, {
  type: 'module',
  name: new URL('.', import.meta.url).pathname.replace(/\/$/, ''),
});

const answers = {
  Loading: ({ received, total }) => show('status', `Loading the bundle: ${received} of ${total} bytes.`),
  // First the golden vectors: does this device give the bits that it must?
  Ready: () => engine.postMessage('Check'),
  Checked: ({ Ok: report, Err: failure }) => {
    if (failure) return answers.Failed({ failure });
    picture.disabled = !report.passed;
    show('status', report.passed ? 'Ready: this device computes right.' : 'This device computes wrong; nothing is judged.');
  },
  Judged: ({ report }) => {
    const { label, probability_fake: probability } = report.verdict;
    show('status', `${label}, P(fake) ${probability}`);
    show('report', JSON.stringify(report, null, 2));
  },
  Failed: ({ failure }) => show('status', `${failure.code}: ${failure.message}`),
};

engine.onmessage = ({ data }) => {
  const [[kind, answer]] = Object.entries(data);
  answers[kind]?.(answer);
};
engine.onerror = () => show('status', 'The worker did not start: is AWARE\'s page two folders up?');
picture.onchange = () => {
  const [file] = picture.files;
  if (file) engine.postMessage({ Judge: { id: 1, picture: file } });
};
