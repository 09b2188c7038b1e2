/**
 * Registers Find Best Model with ComfyUI: the sidebar tab, the setting and the nodes' widgets.
 *
 * ComfyUI loads every .js file below this folder as a module of its own, so the files in gmi/ only
 * export; nothing happens until this one calls them.
 */
import { app } from "../../scripts/app.js";
import { followPalette } from "./gmi/colours.js";
import { watchOutputs } from "./gmi/last_output.js";
import { restorePanels, watchProblems } from "./gmi/node_panel.js";
import { decorateNode } from "./gmi/nodes.js";
import { preferences, applyBlur } from "./gmi/preferences.js";
import { mountSidebar, TAB, unmountSidebar } from "./gmi/sidebar.js";
import { connectStore } from "./gmi/store.js";
import { loadTranslations, t } from "./gmi/strings.js";

function attachStyle() {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = new URL("./gmi/style.css", import.meta.url).href;
  document.head.append(link);
}

app.registerExtension({
  name: "FindBestModel",
  settings: preferences,

  async setup() {
    attachStyle();
    await loadTranslations();
    applyBlur();
    followPalette();
    watchOutputs();
    watchProblems();
    connectStore();
    app.extensionManager.registerSidebarTab({
      id: TAB,
      icon: "pi pi-images",
      title: t("tab.title"),
      tooltip: t("tab.tooltip"),
      type: "custom",
      render: mountSidebar,
      destroy: unmountSidebar,
    });
  },

  nodeCreated: decorateNode,
  // A workflow that is opened, returned to or undone has new nodes; only the second hook comes after ComfyUI has
  // brought their outputs back, and it does not come for a workflow that has never run.
  afterConfigureGraph: restorePanels,
  onNodeOutputsUpdated: restorePanels,
});
