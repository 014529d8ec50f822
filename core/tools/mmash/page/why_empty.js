// Why a series has no value, for people; empty: it has one, or nobody knows.
export function whyEmpty(series, track) {
  if (!track || track.latest !== null || series.kind === "counter" || series.kind === "histogram") return "";
  return series.ended ? "its processes have ended" : "";
}
