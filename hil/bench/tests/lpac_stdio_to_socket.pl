#!/usr/bin/perl
# A helper for exec: (docs/wire/lpac-stdio.md): JSON lines on the standard streams, a card on a unix socket
# in vpcd's framing (docs/wire/apdu-socket.md). Usage: socket.pl PATH
use strict;
use warnings;
use IO::Socket::UNIX;

$| = 1;
my $path = shift // die "usage: socket.pl PATH\n";
my $card;

sub frame {
    my ($bytes) = @_;
    $card->syswrite(pack("n", length $bytes) . $bytes) // return undef;
    my $want = 2;
    my ($head, $body) = ("", "");
    while (length $head < 2) { $card->sysread($head, 2 - length $head, length $head) or return undef }
    my $length = unpack("n", $head);
    while (length $body < $length) { $card->sysread($body, $length - length $body, length $body) or return undef }
    return $body;
}

sub reply {
    my ($ecode, $data) = @_;
    my $more = defined $data ? ',"data":"' . unpack("H*", $data) . '"' : "";
    print "{\"type\":\"apdu\",\"payload\":{\"ecode\":$ecode$more}}\n";
}

sub channel_open {
    my ($aid) = @_;
    my $opened = frame(pack("C*", 0, 0x70, 0, 0, 1)) // return -1;
    return -1 unless length $opened == 3 && substr($opened, 1) eq "\x90\x00";
    my $channel = ord $opened;
    my $selected = frame(pack("C*", $channel, 0xA4, 4, 0, length $aid) . $aid . "\0") // return -1;
    return $selected =~ /(?:\x90\x00|\x61.)\z/s ? $channel : -1;
}

print STDERR "helper for $path\n";
while (my $line = <STDIN>) {
    my ($func) = $line =~ /"func":"(\w+)"/ or next;
    my ($hex) = $line =~ /"param":"([0-9A-Fa-f]*)"/;
    my $param = pack("H*", $hex // "");
    if ($func eq "connect") {
        $card = IO::Socket::UNIX->new(Peer => $path);
        print STDERR "cannot connect to $path: $!\n" unless $card;
        reply($card ? 0 : -1);
    } elsif (!$card) {
        reply(-1);
    } elsif ($func eq "logic_channel_open") {
        reply(channel_open($param));
    } elsif ($func eq "logic_channel_close") {
        reply(defined frame(pack("C*", 0, 0x70, 0x80, ord $param)) ? 0 : -1);
    } elsif ($func eq "transmit") {
        my $answer = frame($param);
        reply(defined $answer ? 0 : -1, $answer);
    } else {
        undef $card if $func eq "disconnect";
        reply(0);
    }
}
