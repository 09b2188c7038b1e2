/**
 * Every sentence people read. A translation goes into locales/<language>/main.json of this extension,
 * under "findBestModel", with the same keys; what it lacks stays English.
 */
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";

const ENGLISH = {
  "tab.title": "Find best model",
  "tab.tooltip": "Find the checkpoint that makes images like yours",
  "tab.find": "Find",
  "tab.checkpoints": "Checkpoints",
  "tab.views": "View",

  "error.offline": "ComfyUI does not answer. Is it still running?",
  "error.status": "ComfyUI answered with an error ({status}). Its log says more.",
  "error.retry": "Try again",
  "error.noImages": "There is no image in what you dropped.",
  "error.notImage": "{name} is not an image that can be read here. PNG, JPEG and WebP can.",
  "error.tooMany": "Eight images at a time are the most.",
  "error.remote": "That image is on another site, which does not let it be read. Save it first, then drop the file.",

  "time.seconds_other": "{n} seconds",
  "time.minutes_one": "1 minute",
  "time.minutes_other": "{n} minutes",
  "time.hours_one": "1 hour",
  "time.hours_other": "{n} hours",
  "time.hoursMinutes": "{hours} h {minutes} min",
  "architecture.unknown": "unknown",

  "find.drop": "Drop an image you like",
  "find.paste": "Paste works too. Several images of the same wish are surer than one.",
  "find.choose": "Choose images",
  "find.add": "Add",
  "find.last": "Use last output",
  "find.lastShort": "Last output",
  "find.lastTitle": "Takes the newest images this ComfyUI made",
  "find.noLast": "Nothing was made in this session yet. Run a workflow that saves or previews an image.",
  "find.clear": "Clear the images",
  "find.remove": "Remove {name}",
  "find.images": "Your images",
  "find.more": "Prompt and name pattern",
  "find.prompt": "Prompt, if you know it",
  "find.promptHint": "What the image shows",
  "find.architecture": "Architecture",
  "find.any": "All",
  "find.pattern": "Name pattern",
  "find.patternHint": "anime/*, *pony*",
  "find.ranking": "Comparing with your checkpoints…",
  "find.empty": "The ranking appears here: which of your checkpoints makes images like yours, and how sure that is.",

  "first.title": "Get to know your checkpoints",
  "first.what": "Each checkpoint makes a few images of the same prompts, once, and their features are kept as its specification. After that, any image you drop here is compared with all of them at once.",
  "first.time": "The quick pass makes {samples} images for {checkpoints} checkpoints and takes {time}.",
  "first.timeUnknown": "The quick pass makes {samples} images for {checkpoints} checkpoints; how long that takes is known after the first one. You can pause it whenever you like.",
  "first.start": "Start the quick pass",
  "first.choose": "Choose checkpoints first",
  "first.unsupported": "No specification can be built of the checkpoints that ComfyUI finds. The list says why for each.",
  "first.why": "Show the list",
  "first.none": "ComfyUI finds no checkpoint. Put some into models/checkpoints, then reload.",

  "ranking.label": "Ranking",
  "ranking.rank": "Rank {rank}",
  "ranking.probability": "Probability {percent}",
  "ranking.score": "Score {score} (lower is better)",
  "ranking.samples": "{samples} of {of} samples",
  "ranking.evidence": "Looks most like these samples",
  "ranking.same": "Nearly the same as {titles}",
  "ranking.sameMore_one": "Nearly the same as {titles} and 1 more",
  "ranking.sameMore_other": "Nearly the same as {titles} and {n} more",
  "ranking.conformal": "Nine times in ten the right one is above this line",
  "ranking.notInstalled": "not installed",
  "ranking.recipe": "workflow",
  "ranking.few": "few samples",
  "ranking.details": "Samples and details of {title}",
  "ranking.missing_one": "1 checkpoint was not compared: it has no specification yet.",
  "ranking.missing_other": "{n} checkpoints were not compared: they have no specification yet.",
  "ranking.build": "Build them",
  "ranking.how": "How this was ranked",
  "ranking.method": "Method: {method}. {reason}",
  "ranking.promptUser": "Prompt, as you gave it: {text}",
  "ranking.promptLibrary": "Prompt, guessed from the most similar samples: {text}",
  "ranking.excluded": "{title} was left out: {reason}",

  "use.button": "Use in workflow",
  "use.short": "Use",
  "use.open": "Open workflow",
  "use.openShort": "Open",
  "use.opened": "Opened as a new workflow.",
  "use.set": "Set in {node}.",
  "use.already": "{node} has it already.",
  "use.undo": "Undo",
  "use.undone": "{node} is back to {value}.",
  "use.several": "There are several loader nodes. Select one in the workflow, or pick it here:",
  "use.none": "This workflow has no loader node that takes this checkpoint.",
  "use.linked": "The checkpoint of {node} comes from another node through a link.",
  "use.addNode": "Add a loader",
  "use.removed": "The loader was removed again.",
  "use.nothing": "nothing",

  "thumb.show": "Sample: {prompt}. Press to show or blur it.",
  "thumb.none": "No image kept of: {prompt}",

  "strip.running": "Building specifications",
  "strip.paused": "Building is paused",
  "strip.show": "Show the build",

  "build.title": "Specifications",
  "build.have": "{ready} of {all} checkpoints have one",
  "build.allReady": "Every checkpoint has one",
  "build.passes": "How many samples each",
  "build.quick": "Quick",
  "build.all": "All",
  "build.passHint": "{n} samples of each checkpoint",
  "build.quickHint": "{n} samples of each checkpoint: enough to begin with",
  "build.each_one": "1 sample",
  "build.each_other": "{n} samples",
  "build.estimate": "{each} each: {samples} to make, about {time}.",
  "build.estimateUnknown": "{each} each: {samples} to make. How long that takes is known after the first one.",
  "build.nothing": "Nothing is missing for this choice.",
  "build.nothingSelected": "The selected checkpoints lack nothing for this choice.",
  "build.startNone": "Build",
  "build.start_one": "Build 1 checkpoint",
  "build.start_other": "Build {n} checkpoints",
  "build.startSelected_one": "Build 1 selected",
  "build.startSelected_other": "Build {n} selected",
  "build.clearSelection": "Clear selection",
  "build.progress": "Progress of building",
  "build.count": "{done} of {total} samples",
  "build.left": "about {time} left",
  "build.leftUnknown": "time left is known after the first sample",
  "build.starting": "Loading the first checkpoint…",
  "build.pausedAt": "{count} · paused",
  "build.sampleOf": "{done} of {of} samples",
  "build.pause": "Pause",
  "build.resume": "Resume",
  "build.cancel": "Cancel",
  "build.cancelTitle": "Stops; what is finished is kept",
  "build.problems_one": "1 problem",
  "build.problems_other": "{n} problems",

  "list.search": "Search checkpoints",
  "list.states": "State",
  "list.all": "All",
  "list.missing": "Missing",
  "list.ready": "Ready",
  "list.problems": "Problems",
  "list.empty": "No checkpoint here.",
  "list.select": "Select {title}",
  "list.selectAll": "Select all shown",
  "list.details": "Details of {title}",
  "list.shown_one": "1 checkpoint",
  "list.shown_other": "{n} checkpoints",
  "state.none": "no specification",
  "state.begun": "begun, {samples} of {of}",
  "state.quick": "quick, {samples} of {of}",
  "state.ready": "ready, {samples} of {of}",
  "state.outdated": "built with other settings",
  "state.suspect": "suspect",
  "state.unsupported": "unsupported",
  "state.failed": "failed",
  "state.building": "building",
  "row.built": "Last built {date}",
  "row.edited": "own settings",
  "row.settings": "Settings",
  "row.remove": "Remove specification",
  "row.removeAsk_one": "Remove the specification and its 1 sample? Making it again takes time.",
  "row.removeAsk_other": "Remove the specification and its {n} samples? Making them again takes time.",
  "row.removeYes": "Remove",
  "row.removeNo": "Keep it",
  "row.build": "Build this one",

  "settings.width": "Width",
  "settings.height": "Height",
  "settings.steps": "Steps",
  "settings.cfg": "CFG",
  "settings.sampler": "Sampler",
  "settings.scheduler": "Scheduler",
  "settings.clip_skip": "Clip skip",
  "settings.dialect": "Prompt dialect",
  "settings.dialectHint": "How prompts are worded: sentences, booru tags, or Pony's score tags",
  "settings.prefix": "Prefix",
  "settings.prefixHint": "Words put before every prompt",
  "settings.negative": "Negative prompt",
  "settings.because": "Recognised: {reasons}",
  "settings.save": "Save",
  "settings.saved": "Saved.",
  "settings.savedAnew": "Saved. Samples made before keep their old settings; remove the specification to make them anew.",
  "settings.preset": "Back to the preset",
  "settings.presetDone": "Back to the preset.",
  "settings.close": "Close",

  "groups.title": "Nearly the same",
  "groups.two": "These two are nearly the same: {bytes}.",
  "groups.many": "These {n} are nearly the same: {bytes}.",
  "gone.title": "No longer installed",
  "gone.what": "Their specifications are kept in case the files come back.",
  "gone.samples_one": "1 sample",
  "gone.samples_other": "{n} samples",
  "gone.remove": "Remove the specification of {title}",
  "gone.removeAll": "Remove all",
  "gone.removeShort": "Remove",

  "node.waiting": "Run the workflow to see the ranking.",
  "node.build": "Build now",
  "node.buildHint": "Running the workflow builds nothing.",
  "node.done": "Done.",
  "node.recipe": "Each run adds one sample.",
};

let translated = {};

/** Reads this extension's part of ComfyUI's translations for the language it is set to. */
export async function loadTranslations() {
  const language = app.extensionManager.setting.get("Comfy.Locale") ?? "en";
  if (language === "en") return;
  try {
    translated = (await api.getCustomNodesI18n())?.[language]?.findBestModel ?? {};
  } catch {
    // An older ComfyUI has no translations for custom nodes; English is fine.
  }
}

/**
 * @param {keyof typeof ENGLISH} key
 * @param {Record<string, string|number>} [values] for the {names} in the sentence
 */
export function t(key, values = {}) {
  const sentence = translated[key] ?? ENGLISH[key] ?? key;
  return sentence.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** A sentence with a number `n`, in the form for one or for many. */
export const tn = (key, n, values = {}) => t(n === 1 && ENGLISH[`${key}_one`] ? `${key}_one` : `${key}_other`, { n, ...values });
