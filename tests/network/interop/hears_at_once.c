/* Loaded before ucarp (LD_PRELOAD), it makes libpcap hand over each packet when it comes.
 *
 * Debian's ucarp opens its capture with a time-out of a second, and libpcap (TPACKET_V3) lets packets lie until then:
 * `ss -0 -e` shows tmo:1000. So what ucarp does within a millisecond is seen only after up to a second.
 */
typedef struct pcap pcap_t;
pcap_t *pcap_create(const char *device, char *error);
int pcap_set_snaplen(pcap_t *capture, int bytes);
int pcap_set_promisc(pcap_t *capture, int wanted);
int pcap_set_immediate_mode(pcap_t *capture, int wanted);
int pcap_activate(pcap_t *capture);

pcap_t *pcap_open_live(const char *device, int snaplen, int promiscuous, int timeout_ms, char *error)
{
    pcap_t *capture = pcap_create(device, error);
    (void) timeout_ms;
    if (capture == 0)
        return 0;
    pcap_set_snaplen(capture, snaplen);
    pcap_set_promisc(capture, promiscuous);
    pcap_set_immediate_mode(capture, 1);
    return pcap_activate(capture) < 0 ? 0 : capture;
}
