// The camera: which one, its light, its zoom.

/** Asked for, not demanded: a camera gives what is nearest. 720p is what `edge-run live` asks of a camera, too. */
const WANTED = { width: { ideal: 1280 }, height: { ideal: 720 }, resizeMode: { ideal: "none" } };

/** What people can do about each refusal of `getUserMedia`. */
const REASONS = {
  NotAllowedError: "the camera was not allowed; allow it in the browser's settings of this site, then start it again",
  NotFoundError: "this device has no camera; open a picture or a video instead",
  NotReadableError: "another program is using the camera; close that, then start it again",
  OverconstrainedError: "the camera cannot do what was asked of it",
};

export class Camera {
  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.video = video;
    /** @type {"environment" | "user"} */
    this.facing = "environment";
    /** @type {MediaStreamTrack | null} */
    this.track = null;
    /** @type {() => void} */
    this.onlost = () => {};
  }

  /** Whether this page may ask for a camera: browsers offer it over HTTPS, on this machine, and to local files. */
  static get offered() {
    return Boolean(navigator.mediaDevices?.getUserMedia);
  }

  /** Starts it; throws an Error that says what to do. */
  async start() {
    this.stop();
    try {
      const video = { ...WANTED, facingMode: { ideal: this.facing } };
      const stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
      const [track] = stream.getVideoTracks();
      this.track = track;
      track.addEventListener("ended", () => { if (this.track === track) { this.stop(); this.onlost(); } });
      this.video.srcObject = stream;
      await this.video.play();
    } catch (error) {
      this.stop();
      const { name, message } = /** @type {DOMException} */ (error);
      throw new Error(REASONS[/** @type {keyof typeof REASONS} */ (name)] ?? `the camera does not start: ${message}`);
    }
  }

  stop() {
    this.track?.stop();
    this.track = null;
    this.video.srcObject = null;
  }

  /** The camera on the other side. */
  async turn() {
    this.facing = this.facing === "environment" ? "user" : "environment";
    await this.start();
  }

  /** Whether there is another one to turn to. */
  static async several() {
    const devices = await navigator.mediaDevices?.enumerateDevices?.() ?? [];
    return devices.filter((device) => device.kind === "videoinput").length > 1;
  }

  /** Whether a person sees the picture as in a mirror. */
  get mirrored() {
    const facing = this.track?.getSettings().facingMode;
    return (facing ?? this.facing) === "user" && this.track !== null;
  }

  /** What this camera can do; browsers without `getCapabilities` tell nothing. */
  get can() {
    const able = /** @type {any} */ (this.track?.getCapabilities?.() ?? {});
    return { torch: able.torch === true, zoom: able.zoom?.max > able.zoom?.min ? able.zoom : null };
  }

  /** @param {{torch?: boolean, zoom?: number}} setting */
  async set(setting) {
    await this.track?.applyConstraints({ advanced: [/** @type {MediaTrackConstraintSet} */ (setting)] });
  }
}
