/* The start of the page: what it kept, then the link. */
(function () {
  'use strict';
  const { options } = self.StandIn;
  const { require } = self;
  const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  // Modules go on registering for a while, as on a cold load of the real page; wa-js waits for them to settle.
  const dripUntil = performance.now() + options.drip_ms;
  (function drip(number) {
    if (performance.now() >= dripUntil) return;
    self.StandIn.define(`WAWebFiller${number}`, () => {});
    setTimeout(drip, 200, number + 1);
  })(0);

  require('StandInStorage').messages.open();

  (async function boot() {
    if (options.boot === 'never') return; // a start that never finishes
    if (options.boot === 'again') return void setTimeout(() => location.reload(), 1000); // or begins anew for ever
    try {
      await require('StandInCredentials').load();
    } catch (error) {
      require('WAWebBackendEventBus').BackendEventBus.triggerStorageInitializationError();
      throw error;
    }
    require('WAWebStreamModel').Stream.refresh();
    if (require('StandInCredentials').me) await require('StandInIncoming').restore();
    await delay(options.boot_ms);
    self.Debug = { VERSION: require('WAWebBuildConstants').VERSION_STR };
    require('StandInSession').connect();
  })();
})();
